//! The options of Kafka and ClickHouse clients where not naming a server means starting one.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
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

/// Flags about a server of the user's say nothing about one that we start: better refused than overlooked.
fn refuse_orphans(matches: &ArgMatches, server: &str, flags: &Command) -> Result<(), clap::Error> {
    let is_given =
        |flag: &&Arg| matches.value_source(flag.get_id().as_str()) == Some(ValueSource::CommandLine);
    let Some(orphan) = flags.get_arguments().find(is_given).and_then(Arg::get_long) else { return Ok(()) };
    let sentence =
        format!("--{orphan} is about a server of yours; name it with --{server}, or leave the flag out\n");
    Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, sentence))
}

impl FromArgMatches for GivenKafka {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let options = KafkaOptions::from_arg_matches(matches)?;
        let given = !options.kafka.is_empty();
        if !given {
            refuse_orphans(matches, "kafka", &KafkaOptions::augment_args(Command::new("kafka")))?;
        }
        Ok(Self(given.then_some(options)))
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
        let given = !options.clickhouse.is_empty();
        if !given {
            refuse_orphans(
                matches,
                "clickhouse",
                &ClickHouseOptions::augment_args(Command::new("clickhouse")),
            )?;
        }
        Ok(Self(given.then_some(options)))
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
