//! What service a peer's name can mean: names of services, hosts, and Kubernetes' names of both in one.

/// One way to read a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading<'a> {
    /// Name of the service.
    pub service: &'a str,
    /// Its namespace, where the name gives one.
    pub namespace: Option<&'a str>,
}

/// All ways to read a name whose caller may have given a namespace beside it (`""`: none). At most three.
pub fn readings<'a>(name: &'a str, namespace: &'a str) -> Vec<Reading<'a>> {
    let host = without_port(name);
    let as_host = (host != name).then_some(Reading { service: host, namespace: None });
    let readings = [Some(Reading { service: name, namespace: None }), as_host, in_dns(host)];
    readings.into_iter().flatten().filter_map(|reading| within(reading, namespace)).collect()
}

/// `payment:8080` and `payment.` are `payment`.
fn without_port(name: &str) -> &str {
    let host = match name.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => name,
    };
    host.strip_suffix('.').unwrap_or(host)
}

/// `payment.shop`, `payment.shop.svc` and `payment.shop.svc.cluster.local`, whatever the cluster's domain is called.
/// A pod's own name may stand before the service's.
/// <https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/>
fn in_dns(host: &str) -> Option<Reading<'_>> {
    let labels: Vec<&str> = host.splitn(MOST_LABELS, '.').collect();
    let end = match labels.iter().skip(2).position(|label| *label == "svc") {
        Some(after) => after + 2,
        None if labels.len() == 2 => 2,
        None => return None,
    };
    let (service, namespace) = (labels[end - 2], labels[end - 1]);
    // An empty namespace would match the services that don't say theirs.
    (!service.is_empty() && !namespace.is_empty()).then_some(Reading { service, namespace: Some(namespace) })
}

/// Pod, service, namespace, `svc`, and the rest in one.
const MOST_LABELS: usize = 5;

/// A reading that says another namespace than the caller did is none.
fn within<'a>(reading: Reading<'a>, given: &'a str) -> Option<Reading<'a>> {
    match reading.namespace {
        _ if given.is_empty() => Some(reading),
        Some(namespace) if namespace != given => None,
        _ => Some(Reading { namespace: Some(given), ..reading }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, namespace: &str) -> Vec<String> {
        let shown = |reading: &Reading<'_>| match reading.namespace {
            Some(namespace) => format!("{namespace}/{}", reading.service),
            None => reading.service.to_owned(),
        };
        readings(name, namespace).iter().map(shown).collect()
    }

    #[test]
    fn forms_that_carry_a_service() {
        for (name, expected) in [
            ("payment", &["payment"][..]),
            ("payment:8080", &["payment:8080", "payment"]),
            ("payment.", &["payment.", "payment"]),
            ("payment.shop", &["payment.shop", "shop/payment"]),
            ("payment.shop:80", &["payment.shop:80", "payment.shop", "shop/payment"]),
            ("payment.shop.svc", &["payment.shop.svc", "shop/payment"]),
            ("payment.shop.svc.cluster.local", &["payment.shop.svc.cluster.local", "shop/payment"]),
            ("payment.shop.svc.k8s.example.com", &["payment.shop.svc.k8s.example.com", "shop/payment"]),
            (
                "payment-0.payment.shop.svc.cluster.local",
                &["payment-0.payment.shop.svc.cluster.local", "shop/payment"],
            ),
        ] {
            assert_eq!(read(name, ""), expected, "{name}");
        }
    }

    #[test]
    fn forms_that_carry_none_are_names_and_nothing_else() {
        for name in
            ["", ":", "svc", "api.payment.example.com", "10-0-0-7.shop.pod.cluster.local", "payment:http"]
        {
            assert_eq!(read(name, ""), [name], "{name}");
        }
        for name in [".svc", "a..svc", "..svc", ".shop"] {
            assert_eq!(read(name, ""), [name], "{name}: no empty name and no empty namespace");
        }
    }

    #[test]
    fn a_given_namespace_holds_for_every_reading() {
        assert_eq!(read("payment", "shop"), ["shop/payment"]);
        assert_eq!(read("payment.shop.svc", "shop"), ["shop/payment.shop.svc", "shop/payment"]);
        assert_eq!(read("payment.shop.svc", "billing"), ["billing/payment.shop.svc"]);
    }
}
