//! What users of the cloud console do, and what goes wrong on the way.

use super::answer::Answer;
use super::attributes::Attributes;
use super::cast::Actor::{
    self, Auth, Billing, Gateway, Network, Notification, Scheduler, Session, User, Vm, Volume,
};
use super::places::{INVOICES, MAIL, NETWORKS, PAYMENTS, SESSIONS, USERS, VMS, VOLUMES};
use super::scene::{Scene, Tale};
use crate::truth::Node;

/// A user signs in. Some mistype their password; now and then the session cache doesn't answer at once.
pub fn login(tale: &mut Tale) {
    tale.operation("login");
    tale.click("POST", "/api/login", |gateway| {
        gateway.work(200..900);
        gateway.http(Auth, "POST", "/v1/login", |auth| {
            auth.work(100..600);
            let verified = auth.grpc(User, "users.v1.Users/Verify", verify_password);
            if !verified.is_fine() {
                return verified;
            }
            auth.grpc(Session, "sessions.v1.Sessions/Open", open_session)
        })
    });
}

fn verify_password(user: &mut Scene<'_>) -> Answer {
    user.query(USERS, "SELECT", "password_hash of user");
    user.inside("verify password", |user| {
        user.work(20_000..60_000);
        if user.chance(0.08) { Answer::Unauthenticated } else { Answer::Fine }
    })
}

fn open_session(session: &mut Scene<'_>) -> Answer {
    session.work(100..300);
    session.retry(3, |session, attempt| {
        let share = if attempt == 0 { 0.07 } else { 0.2 };
        let answer = if session.chance(share) { Answer::TimedOut } else { Answer::Fine };
        session.query_that_ends(SESSIONS, "SET", "session", answer)
    })
}

/// A user orders a machine: placed on a host, given a disk and a network at the same time, announced on the
/// topic, then paid for and confirmed by mail.
pub fn create_vm(tale: &mut Tale) {
    tale.operation("create_vm");
    tale.click("POST", "/api/vms", |gateway| {
        let known = check_token(gateway);
        if !known.is_fine() {
            return known;
        }
        gateway.http(Vm, "POST", "/v1/vms", order_vm)
    });
    for message in tale.published() {
        tale.process(Billing, &message, charge);
        tale.process_apart(Notification, &message, confirm);
    }
}

fn order_vm(vm: &mut Scene<'_>) -> Answer {
    vm.work(500..2_000);
    if vm.chance(0.04) {
        return Answer::Conflict; // quota used up
    }
    vm.query(VMS, "INSERT", "vm");
    let placed =
        vm.retry(3, |vm, attempt| vm.grpc(Scheduler, "scheduler.v1.Scheduler/Place", place(attempt)));
    if !placed.is_fine() {
        return placed;
    }
    let (disk, port) = vm.at_once(
        |vm| vm.grpc(Volume, "volumes.v1.Volumes/Create", create_disk),
        |vm| vm.retry(2, |vm, attempt| vm.http(Network, "POST", "/v1/ports", create_port(attempt))),
    );
    if !disk.is_fine() || !port.is_fine() {
        return Answer::Failed;
    }
    vm.query(VMS, "UPDATE", "vm");
    vm.publish();
    Answer::Fine
}

fn place(attempt: u32) -> impl FnOnce(&mut Scene<'_>) -> Answer {
    move |scheduler| {
        scheduler.work(300..4_000);
        if scheduler.chance(if attempt == 0 { 0.1 } else { 0.25 }) {
            return Answer::Unavailable; // a new leader is being elected
        }
        if scheduler.chance(0.03) {
            scheduler.work(900_000..1_100_000);
            return Answer::TimedOut;
        }
        scheduler.query(VMS, "SELECT", "hosts for vm")
    }
}

fn create_disk(volume: &mut Scene<'_>) -> Answer {
    volume.work(2_000..9_000);
    let answer = if volume.chance(0.03) { Answer::Failed } else { Answer::Fine };
    volume.query_that_ends(VOLUMES, "INSERT", "volume", answer)
}

fn create_port(attempt: u32) -> impl FnOnce(&mut Scene<'_>) -> Answer {
    move |network| {
        network.work(1_000..5_000);
        if attempt == 0 && network.chance(0.08) {
            return Answer::Unavailable;
        }
        network.query(NETWORKS, "INSERT", "port")
    }
}

/// Billing asks the payment company through a circuit breaker. When the breaker is already open nobody is asked,
/// so all that is known of the target is the breaker's name.
fn charge(billing: &mut Scene<'_>) -> Answer {
    billing.query(INVOICES, "SELECT", "customer of vm");
    if billing.chance(0.05) {
        return billing.rejected("payments", Node::outside("unknown", "payments"));
    }
    let paid = billing.guarded("payments", |billing| {
        billing.retry(2, |billing, _| {
            let answer = match (billing.chance(0.1), billing.chance(0.04)) {
                (true, _) => Answer::Unavailable,
                (_, true) => Answer::TimedOut,
                _ => Answer::Fine,
            };
            let took_us = if answer == Answer::TimedOut { 2_000_000..2_010_000 } else { 40_000..250_000 };
            billing.ask_outside(PAYMENTS, "POST", "/v1/charges", took_us, answer)
        })
    });
    if !paid.is_fine() {
        return Answer::Failed;
    }
    billing.query(INVOICES, "INSERT", "invoice for vm")
}

fn confirm(notification: &mut Scene<'_>) -> Answer {
    notification.query(SESSIONS, "GET", "mail preference");
    let answer = if notification.chance(0.04) { Answer::Failed } else { Answer::Fine };
    notification.ask_outside(MAIL, "POST", "/v3/mail/send", 30_000..120_000, answer)
}

/// A user attaches a disk. The volume service asks the vm service twice, behind a breaker that sometimes opens
/// in between: the second call is kept back, and the first one tells from whom.
pub fn attach_volume(tale: &mut Tale) {
    tale.operation("attach_volume");
    tale.click("PUT", "/api/volumes/{id}/attachment", |gateway| {
        let known = check_token(gateway);
        if !known.is_fine() {
            return known;
        }
        gateway.http(Volume, "PUT", "/v1/volumes/{id}/attachment", attach)
    });
}

fn attach(volume: &mut Scene<'_>) -> Answer {
    volume.query(VOLUMES, "SELECT", "volume");
    if volume.chance(0.06) {
        return Answer::Conflict; // attached elsewhere
    }
    let found = volume.guarded("vm-api", |volume| {
        volume.grpc(Vm, "vms.v1.Vms/Get", |vm| {
            vm.query(VMS, "SELECT", "vm");
            if vm.chance(0.05) { Answer::NotFound } else { Answer::Fine }
        })
    });
    if !found.is_fine() {
        return found;
    }
    if volume.chance(0.06) {
        return volume.rejected("vm-api", Vm.node());
    }
    let attached = volume.guarded("vm-api", |volume| {
        volume.grpc(Vm, "vms.v1.Vms/Attach", |vm| {
            vm.work(5_000..30_000);
            vm.query(VMS, "UPDATE", "vm")
        })
    });
    if !attached.is_fine() {
        return attached;
    }
    volume.query(VOLUMES, "UPDATE", "volume")
}

/// A user deletes a machine: its disk is detached, its port released, its end announced.
pub fn delete_vm(tale: &mut Tale) {
    tale.operation("delete_vm");
    tale.click("DELETE", "/api/vms/{id}", |gateway| {
        let known = check_token(gateway);
        if !known.is_fine() {
            return known;
        }
        gateway.http(Vm, "DELETE", "/v1/vms/{id}", |vm| {
            if vm.chance(0.05) {
                vm.query(VMS, "SELECT", "vm");
                return Answer::NotFound;
            }
            vm.grpc(Volume, "volumes.v1.Volumes/Detach", |volume| volume.query(VOLUMES, "UPDATE", "volume"));
            let released = vm
                .retry(2, |vm, attempt| vm.http(Network, "DELETE", "/v1/ports/{id}", release_port(attempt)));
            if !released.is_fine() {
                return released;
            }
            vm.query(VMS, "DELETE", "vm");
            vm.publish();
            Answer::Fine
        })
    });
    for message in tale.published() {
        tale.process(Billing, &message, |billing| billing.query(INVOICES, "UPDATE", "subscription of vm"));
        tale.process_apart(Notification, &message, confirm);
    }
}

fn release_port(attempt: u32) -> impl FnOnce(&mut Scene<'_>) -> Answer {
    move |network| {
        network.work(500..3_000);
        if network.chance(if attempt == 0 { 0.12 } else { 0.3 }) {
            return Answer::Unavailable;
        }
        network.query(NETWORKS, "DELETE", "port")
    }
}

/// A user changes a setting: written to the database, dropped from the cache.
pub fn update_config(tale: &mut Tale) {
    tale.operation("update_config");
    tale.click("PATCH", "/api/settings", |gateway| {
        let known = check_token(gateway);
        if !known.is_fine() {
            return known;
        }
        gateway.http(User, "PATCH", "/v1/users/{id}/settings", |user| {
            let valid = user.inside("validate settings", |user| {
                user.work(200..2_000);
                if user.chance(0.05) { Answer::Conflict } else { Answer::Fine }
            });
            if !valid.is_fine() {
                return valid;
            }
            let answer = if user.chance(0.03) { Answer::Failed } else { Answer::Fine };
            if !user.query_that_ends(USERS, "UPDATE", "settings of user", answer).is_fine() {
                return Answer::Failed;
            }
            user.query(SESSIONS, "DEL", "settings of user")
        })
    });
}

/// The gateway lets nobody in whose token the session service doesn't know.
fn check_token(gateway: &mut Scene<'_>) -> Answer {
    gateway.work(100..500);
    gateway.grpc(Auth, "auth.v1.Tokens/Check", |auth| {
        auth.work(50..200);
        auth.grpc(Session, "sessions.v1.Sessions/Get", |session| {
            session.query(SESSIONS, "GET", "session");
            if session.chance(0.02) { Answer::Unauthenticated } else { Answer::Fine }
        })
    })
}

/// The kubelet asks the gateway over HTTP or the scheduler over gRPC whether it is well.
pub fn health_probe(tale: &mut Tale) {
    tale.operation("__probe__");
    if tale.chance(0.5) {
        tale.probe(Gateway, "GET /healthz", kubelet_request());
    } else {
        tale.probe(Scheduler, "grpc.health.v1.Health/Check", health_check());
    }
}

fn kubelet_request() -> Attributes {
    vec![
        ("http.request.method", "GET".into()),
        ("http.route", "/healthz".into()),
        ("url.path", "/healthz".into()),
        ("http.response.status_code", 200_u16.into()),
        ("user_agent.original", "kube-probe/1.34".into()),
    ]
}

fn health_check() -> Attributes {
    super::attributes::grpc(Actor::Scheduler.dialect(), "grpc.health.v1.Health/Check", Answer::Fine, None)
}
