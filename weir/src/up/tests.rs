use super::*;
use clap::Parser;

#[derive(Parser)]
struct Up {
    #[command(flatten)]
    options: Options,
}

fn options(args: &[&str]) -> Options {
    Up::parse_from(std::iter::once("up").chain(args.iter().copied())).options
}

#[test]
fn without_flags_both_servers_are_children() {
    let plan = options(&[]).plan();
    assert!(matches!(plan.kafka, Place::Child(address) if address.port() == 9092));
    assert!(matches!(plan.clickhouse, Place::Child(address) if address.port() == 8123));
}

#[test]
fn a_named_server_is_used_with_its_options_and_its_port_is_not_wanted() {
    let options =
        options(&["--kafka", "broker:9092", "--kafka-security", "ssl", "--clickhouse", "https://ch:8443"]);
    let plan = options.plan();
    let Place::Yours(kafka) = plan.kafka else { panic!("a child was planned") };
    assert_eq!(kafka.client().get("security.protocol"), Some("ssl"));
    assert!(matches!(plan.clickhouse, Place::Yours(given) if given.clickhouse == "https://ch:8443"));
    assert!(
        options
            .wanted()
            .iter()
            .all(|wanted| wanted.flag != "--kafka-port" && wanted.flag != "--clickhouse-port")
    );
}

#[test]
fn the_ports_of_a_whole_river_are_eight_and_differ() {
    let mut ports: Vec<u16> = options(&[]).wanted().iter().map(|wanted| wanted.address.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 8);
    assert_eq!(options(&["--servers-only"]).wanted().len(), 2);
}

#[test]
fn flags_about_a_server_that_is_not_named_are_refused() {
    for (flag, server) in [("--kafka-user", "--kafka,"), ("--clickhouse-database", "--clickhouse,")] {
        let Err(error) = Up::try_parse_from(["up", flag, "weir"]) else { panic!("{flag} was overlooked") };
        assert!(error.to_string().contains(flag) && error.to_string().contains(server), "{error}");
    }
}
