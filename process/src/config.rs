//! One precedence for every process: flag, then environment, then `--config` file, then default.
//!
//! The file's keys are the long flag names. Each key becomes the default value of its flag, so that clap itself
//! does the rest: it reads environment variables before defaults and shows the file's values in `--help`.

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Command};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const CONFIG: &str = "config";

/// Reads the process's arguments, environment and configuration file into `T`; prints help and errors and ends
/// the process the way clap does.
pub fn parse<T: clap::Parser>() -> T {
    parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// As [`parse`], from the given arguments (the first is the name of the program).
///
/// # Errors
/// A flag, variable or key that is unknown or has a bad value, a file that can't be read, and the requests for
/// `--help` and `--version`, as clap reports them.
pub fn parse_from<T: clap::Parser>(args: impl IntoIterator<Item = OsString>) -> Result<T, clap::Error> {
    let args: Vec<OsString> = args.into_iter().collect();
    let mut command = with_config_flag(T::command());
    if let Some((file, subcommands)) = config_file(&command, &args) {
        command = apply_file(command, &file, &subcommands)?;
    }
    let matches = command.clone().try_get_matches_from(args)?;
    T::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

fn with_config_flag(command: Command) -> Command {
    command.arg(
        Arg::new(CONFIG)
            .long(CONFIG)
            .env("WEIR_CONFIG")
            .value_name("FILE")
            .global(true)
            .value_parser(clap::value_parser!(PathBuf))
            .help("TOML file whose keys are long flag names; flags and environment variables outrank it"),
    )
}

/// The configuration file and the chain of subcommands it is for, found by a first reading of the arguments that
/// overlooks everything else.
fn config_file(command: &Command, args: &[OsString]) -> Option<(PathBuf, Vec<String>)> {
    let without_help = command.clone().disable_help_flag(true).disable_version_flag(true);
    let matches = without_help.ignore_errors(true).try_get_matches_from(args).ok()?;
    let mut subcommands = Vec::new();
    let mut innermost: &ArgMatches = &matches;
    while let Some((name, inner)) = innermost.subcommand() {
        subcommands.push(name.to_owned());
        innermost = inner;
    }
    let file = innermost.try_get_one::<PathBuf>(CONFIG).ok().flatten()?;
    Some((file.clone(), subcommands))
}

fn apply_file(command: Command, file: &Path, subcommands: &[String]) -> Result<Command, clap::Error> {
    let refuse = |kind, sentence: String| command.clone().error(kind, sentence);
    let text = std::fs::read_to_string(file)
        .map_err(|error| refuse(ErrorKind::Io, format!("can't read {}: {error}", file.display())))?;
    let table: toml::Table = text.parse().map_err(|error| {
        refuse(ErrorKind::InvalidValue, format!("{} is not TOML: {error}", file.display()))
    })?;

    let mut defaults = Vec::new();
    let target = subcommands.iter().try_fold(&command, |command, name| command.find_subcommand(name));
    for (key, value) in &table {
        let arg = target.and_then(|target| flag(target, key));
        let default = default_of(arg, key, value)
            .map_err(|why| refuse(ErrorKind::InvalidValue, format!("{}: {why}", file.display())))?;
        defaults.push(default);
    }
    Ok(set_defaults(command, subcommands, &defaults))
}

fn flag<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| arg.get_long() == Some(key) && key != CONFIG)
}

/// A flag's new default values.
struct Default {
    id: clap::Id,
    values: Vec<String>,
}

fn default_of(arg: Option<&Arg>, key: &str, value: &toml::Value) -> Result<Default, String> {
    let Some(arg) = arg else {
        return Err(format!("the key `{key}` is unknown, there is no flag --{key}"));
    };
    let values =
        texts(value).ok_or_else(|| format!("the key `{key}` must be a plain value or a list of them"))?;
    check(arg, key, &values)?;
    Ok(Default { id: arg.get_id().clone(), values })
}

fn texts(value: &toml::Value) -> Option<Vec<String>> {
    match value {
        toml::Value::String(text) => Some(vec![text.clone()]),
        toml::Value::Integer(number) => Some(vec![number.to_string()]),
        toml::Value::Float(number) => Some(vec![number.to_string()]),
        toml::Value::Boolean(switch) => Some(vec![switch.to_string()]),
        toml::Value::Array(items) => {
            let nested = items.iter().map(texts).collect::<Option<Vec<_>>>()?;
            nested.into_iter().map(|mut item| (item.len() == 1).then(|| item.remove(0))).collect()
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

/// Parses the values as the flag would: clap takes defaults on trust, and its own message would not name the file.
fn check(arg: &Arg, key: &str, values: &[String]) -> Result<(), String> {
    let takes_list = matches!(arg.get_action(), clap::ArgAction::Append);
    if values.len() != 1 && !takes_list {
        return Err(format!("the key `{key}` takes one value, not a list"));
    }
    let probe = Command::new("probe").no_binary_name(true).disable_help_flag(true).arg(
        Arg::new("value")
            .required(true)
            .num_args(1..)
            .allow_hyphen_values(true)
            .value_parser(arg.get_value_parser().clone()),
    );
    match probe.try_get_matches_from(values) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the key `{key}` can't be {}{}", values.join(", "), reason(&error))),
    }
}

fn reason(error: &clap::Error) -> String {
    use std::error::Error;
    error.source().map(|source| format!(": {source}")).unwrap_or_default()
}

fn set_defaults(mut command: Command, subcommands: &[String], defaults: &[Default]) -> Command {
    let Some((name, inner)) = subcommands.split_first() else {
        for default in defaults {
            command = command.mut_arg(default.id.as_str(), |arg| {
                // A required flag is satisfied by the file.
                arg.required(false).default_values(default.values.clone())
            });
        }
        return command;
    };
    command.mut_subcommand(name, |subcommand| set_defaults(subcommand, inner, defaults))
}

#[cfg(test)]
mod tests;
