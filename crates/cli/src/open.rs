//! `roentgen open`: traces as a page for a browser.

mod page;

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use model::TraceId;
use uuid::Uuid;

use crate::Session;
use crate::client::Trace;
use crate::endpoint::variable;
use crate::exit::{Exit, Stop};
use crate::filter::filter;
use crate::find::{Search, USUAL};
use crate::get::TRACES_AT_ONCE;
use crate::terminal::{Progress, note, print, printable};
use crate::timeline::Timeline;
use crate::times::TimeFlags;

/// Which traces to show, and where.
#[derive(Args, Debug)]
pub struct Options {
    /// Trace ids, or a filter expression
    #[arg(required = true, value_name = "TRACE_ID|EXPRESSION")]
    words: Vec<String>,
    #[command(flatten)]
    time: TimeFlags,
    /// Show at most so many of the traces an expression means
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// The file to write; "-" prints the page, and opens nothing
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes a page with traces and opens it.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let trace_ids = match ids(&options.words) {
        Some(trace_ids) => trace_ids,
        None => found(session, options).await?,
    };
    let traces = fetched(session, &trace_ids).await?;
    for trace_id in &trace_ids {
        if !traces.iter().any(|trace| trace.id == *trace_id) {
            note(&format!("not found: {trace_id}"));
        }
    }
    if traces.is_empty() {
        return Ok(Exit::NotFound);
    }
    let timelines: Vec<Timeline> = traces.iter().map(Timeline::of).collect();
    let exit = Exit::of(timelines.len(), trace_ids.len(), Exit::NotFound);
    let page = page::render(&timelines);
    match &options.output {
        Some(file) if file.as_os_str() == "-" => return print(&page).map(|()| exit),
        Some(file) => std::fs::write(file, &page)
            .map_err(|error| Stop::failed(format!("cannot write {}: {error}", file.display())))
            .and_then(|()| show(file, &session.environment))?,
        None => {
            let file = write_aside(&page, &session.environment)?;
            show(&file, &session.environment)?;
        }
    }
    Ok(exit)
}

/// Returns the ids if all words are ids, each once and in X-Ray's form.
fn ids(words: &[String]) -> Option<Vec<String>> {
    let mut trace_ids: Vec<String> = Vec::new();
    for word in words {
        let trace_id = TraceId::parse_any(word).ok()?.to_string();
        if !trace_ids.contains(&trace_id) {
            trace_ids.push(trace_id);
        }
    }
    Some(trace_ids)
}

/// Returns the ids of the traces the words mean as an expression.
async fn found(session: &Session, options: &Options) -> Result<Vec<String>, Stop> {
    let expression = options.words.join(" ");
    filter(&expression)?;
    let window = options.time.window((session.now)(), USUAL)?;
    let mut search = Search::new(&session.client, window, Some(&expression));
    let mut trace_ids = Vec::new();
    let progress = Progress::endless("traces found");
    while trace_ids.len() < usize::from(options.limit) {
        let next = progress.during(|| session.client.n_throttled(), search.next());
        let Some(summary) = next.await? else {
            break;
        };
        trace_ids.push(summary.id);
        progress.advance(1);
    }
    progress.finish();
    if trace_ids.is_empty() {
        return Err(Stop::new(Exit::NotFound, "nothing found"));
    }
    Ok(trace_ids)
}

/// Returns the traces with these ids, as far as they are there.
async fn fetched(session: &Session, trace_ids: &[String]) -> Result<Vec<Trace>, Stop> {
    let client = &session.client;
    let total = u64::try_from(trace_ids.len()).unwrap_or(u64::MAX);
    let progress = Progress::of(total, "traces");
    let mut traces = Vec::new();
    for some_ids in trace_ids.chunks(TRACES_AT_ONCE) {
        let answer = client.batch_get(some_ids);
        let batch = progress.during(|| client.n_throttled(), answer).await?;
        traces.extend(batch.traces);
        progress.advance(u64::try_from(some_ids.len()).unwrap_or(u64::MAX));
    }
    progress.finish();
    Ok(traces)
}

/// Writes the page into a file of its own among temporary ones, for this user alone, and returns where.
fn write_aside(page: &str, environment: &[(OsString, OsString)]) -> Result<PathBuf, Stop> {
    let folder = variable(environment, "TMPDIR").unwrap_or("/tmp");
    let file = Path::new(folder).join(format!("roentgen-{}.html", Uuid::new_v4().simple()));
    let mut options = OpenOptions::new();
    // Nobody's link is followed: the file must not be there.
    let written = options.write(true).create_new(true).mode(0o600).open(&file);
    let written = written.and_then(|mut opened| opened.write_all(page.as_bytes()));
    written.map_err(|error| Stop::failed(format!("cannot write {}: {error}", file.display())))?;
    Ok(file)
}

/// Prints where the page is, and opens it if there is a browser.
fn show(file: &Path, environment: &[(OsString, OsString)]) -> Result<(), Stop> {
    print(&format!("{}\n", printable(&file.display().to_string())))?;
    for command in browsers(environment) {
        let mut arguments = arguments(&command, file).into_iter();
        let Some(program) = arguments.next() else {
            continue;
        };
        let mut browser = Command::new(program);
        browser.args(arguments).stdin(Stdio::null());
        if browser.status().is_ok_and(|status| status.success()) {
            return Ok(());
        }
        note(&format!(
            "no browser: {} did not open it",
            printable(&command)
        ));
    }
    Ok(())
}

/// Returns the commands that may open a page: those of `BROWSER`, separated by colons, or else what the desktop has.
fn browsers(environment: &[(OsString, OsString)]) -> Vec<String> {
    if let Some(browsers) = variable(environment, "BROWSER") {
        let browsers = browsers.split(':').map(str::trim);
        return browsers
            .filter(|browser| !browser.is_empty())
            .map(str::to_owned)
            .collect();
    }
    let has_desktop = DESKTOPS
        .iter()
        .any(|name| variable(environment, name).is_some());
    let path = variable(environment, "PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(path);
    if has_desktop && folders.any(|folder| folder.join(OPENER).is_file()) {
        vec![OPENER.to_owned()]
    } else {
        Vec::new()
    }
}

/// Returns a command's program and arguments with the page in the place of `%s`, or behind them. No shell reads them.
fn arguments(command: &str, file: &Path) -> Vec<OsString> {
    let mut has_place = false;
    let mut arguments: Vec<OsString> = Vec::new();
    for word in command.split_whitespace() {
        if word == "%s" {
            has_place = true;
            arguments.push(file.into());
        } else {
            arguments.push(OsStr::new(word).to_owned());
        }
    }
    if !has_place {
        arguments.push(file.into());
    }
    arguments
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen open 1-58406520-a006649127e371903a2de979
  roentgen open 'fault AND service(\"payments\")' --last 15m
  roentgen open 4bf92f3577b34da6a3ce929d0e0e4736 -o trace.html";
pub(crate) const ABOUT: &str = "Show traces of a server in a browser

Writes a page that needs nothing else (no server, no scripts) into a temporary file, or the one that is
named, prints where it is, and opens it with $BROWSER or xdg-open if there is one.
Exit codes: 0 all found, 5 some missing, 3 none found, 2 neither an id nor an expression, 4 no server.";
const OPENER: &str = "xdg-open";
const DESKTOPS: [&str; 2] = ["DISPLAY", "WAYLAND_DISPLAY"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_ids_or_an_expression() {
        let check = |words: &[&str], expected: Option<&[&str]>| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let expected = expected.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
            assert_eq!(ids(&words), expected);
        };
        let id = "1-58406520-a006649127e371903a2de979";
        check(&[id, "58406520a006649127e371903a2de979"], Some(&[id]));
        check(&[id, "fault"], None);
        check(&["fault", "AND", "error"], None);
    }

    fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        let variables = variables.iter();
        variables
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    #[test]
    fn browsers_are_those_of_the_user_or_of_the_desktop() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(OPENER), "").unwrap();
        let path = folder.path().to_str().unwrap();
        let check = |variables: &[(&str, &str)], expected: &[&str]| {
            assert_eq!(browsers(&environment(variables)), expected, "{variables:?}");
        };
        check(&[], &[]);
        check(&[("PATH", path)], &[]);
        check(&[("PATH", path), ("DISPLAY", ":0")], &[OPENER]);
        check(&[("PATH", "/nowhere"), ("DISPLAY", ":0")], &[]);
        check(
            &[("BROWSER", "w3m: firefox --new-tab %s:")],
            &["w3m", "firefox --new-tab %s"],
        );
    }

    #[test]
    fn a_page_takes_its_place_among_the_arguments() {
        let check = |command: &str, expected: &[&str]| {
            assert_eq!(arguments(command, Path::new("/a b.html")), expected);
        };
        check("w3m", &["w3m", "/a b.html"]);
        check("x --tab %s --end", &["x", "--tab", "/a b.html", "--end"]);
        check("x $(y);", &["x", "$(y);", "/a b.html"]);
    }

    #[test]
    fn a_page_is_written_for_its_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let environment = environment(&[("TMPDIR", folder.path().to_str().unwrap())]);
        let file = write_aside("page", &environment).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "page");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
