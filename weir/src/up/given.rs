//! The options of Kafka and ClickHouse clients where not naming a server means starting one.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use process::{ClickHouseOptions, KafkaOptions};

/// The user's Kafka, if there is one.
#[derive(Clone, Debug)]
pub struct GivenKafka(pub Option<KafkaOptions>);

/// The user's ClickHouse, if there is one.
#[derive(Clone, Debug)]
pub struct GivenClickHouse(pub Option<ClickHouseOptions>);

/// An empty default, so that "not given" can be told from every address.
fn optional(arg: Arg) -> Arg {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    arg.default_value("").hide_default_value(true).help(format!("{help} (yours, instead of starting one)"))
}

impl FromArgMatches for GivenKafka {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let options = KafkaOptions::from_arg_matches(matches)?;
        Ok(Self((!options.kafka.is_empty()).then_some(options)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for GivenKafka {
    fn augment_args(command: Command) -> Command {
        KafkaOptions::augment_args(command).mut_arg("kafka", optional)
    }

    fn augment_args_for_update(command: Command) -> Command {
        KafkaOptions::augment_args_for_update(command)
    }
}

impl FromArgMatches for GivenClickHouse {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let options = ClickHouseOptions::from_arg_matches(matches)?;
        Ok(Self((!options.clickhouse.is_empty()).then_some(options)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for GivenClickHouse {
    fn augment_args(command: Command) -> Command {
        ClickHouseOptions::augment_args(command).mut_arg("clickhouse", optional)
    }

    fn augment_args_for_update(command: Command) -> Command {
        ClickHouseOptions::augment_args_for_update(command)
    }
}
