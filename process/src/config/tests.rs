use super::*;
use clap::Parser;
use std::io::Write;

#[derive(Parser, Debug)]
struct Options {
    // Cargo sets this variable for every test, so the environment needs no unsafe `set_var`.
    #[arg(long, env = "CARGO_PKG_NAME", default_value = "default")]
    named: String,
    #[arg(long, default_value_t = 1)]
    rate: u32,
    #[arg(long)]
    origin: Vec<String>,
    #[arg(long)]
    verbose: bool,
    #[arg(long)]
    required: Option<u16>,
}

#[derive(Parser, Debug)]
enum Commands {
    Up(Options),
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn read<T: Parser>(text: &str, more: &[&str]) -> Result<T, String> {
    let file = file(text);
    let config = ["--config".into(), file.path().as_os_str().to_owned()];
    let args = std::iter::once("weir".into()).chain(more.iter().map(OsString::from)).chain(config);
    parse_from(args).map_err(|error| error.to_string().replace(&file.path().display().to_string(), "FILE"))
}

#[test]
fn a_file_outranks_defaults() {
    let options: Options = read("rate = 7\nverbose = true\norigin = ['a', 'b']\nrequired = 9", &[]).unwrap();
    assert_eq!((options.rate, options.verbose, options.required), (7, true, Some(9)));
    assert_eq!(options.origin, ["a", "b"]);
}

#[test]
fn a_flag_outranks_the_file() {
    let options: Options = read("rate = 7\norigin = ['a', 'b']", &["--rate", "8", "--origin", "c"]).unwrap();
    assert_eq!((options.rate, options.origin), (8, vec!["c".to_owned()]));
}

#[test]
fn the_environment_outranks_the_file_and_a_flag_outranks_the_environment() {
    let from_environment: Options = read("named = 'file'", &[]).unwrap();
    assert_eq!(from_environment.named, env!("CARGO_PKG_NAME"));
    let from_flag: Options = read("named = 'file'", &["--named", "flag"]).unwrap();
    assert_eq!(from_flag.named, "flag");
}

#[test]
fn a_subcommand_takes_the_file_too() {
    let Commands::Up(options) = read("rate = 7", &["up"]).unwrap();
    assert_eq!(options.rate, 7);
}

#[test]
fn what_the_file_says_wrongly_is_refused_with_file_and_key() {
    for (text, sentence) in [
        ("rat = 7", "FILE: the key `rat` is unknown, there is no flag --rat"),
        ("config = 'other'", "FILE: the key `config` is unknown"),
        ("rate = 'fast'", "FILE: the key `rate` can't be fast: invalid digit"),
        ("rate = -1", "FILE: the key `rate` can't be -1"),
        ("rate = [1, 2]", "FILE: the key `rate` takes one value, not a list"),
        ("[rate]\nvalue = 1", "FILE: the key `rate` must be a plain value"),
        ("rate =", "FILE is not TOML"),
    ] {
        let error = read::<Options>(text, &[]).unwrap_err();
        assert!(error.contains(sentence), "{text:?} gave {error}");
        let error = read::<Commands>(text, &["up"]).unwrap_err();
        assert!(error.contains(sentence), "{text:?} gave {error} for a subcommand");
    }
}

#[test]
fn a_missing_file_is_named() {
    let args = ["weir", "--config", "/nowhere/weir.toml"].map(OsString::from);
    let error = parse_from::<Options>(args).unwrap_err().to_string();
    assert!(error.contains("can't read /nowhere/weir.toml"), "{error}");
}

#[test]
fn no_file_is_no_error() {
    let options: Options = parse_from(["weir".into()]).unwrap();
    assert_eq!(options.rate, 1);
}
