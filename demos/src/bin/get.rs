//! `cargo run --release --bin get -- URL`: fetches what a URL names into a file, with a bar that says how far it is, and
//! goes on where an earlier run was cut off.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use grapeshot_backdoor::Backdoor;
use grapeshot_demos::inside::Inside;
use grapeshot_http::client::{Client, Phase, Progress, Retries, Url};
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressState, ProgressStyle};

/// Fetches what a URL names.
#[derive(Parser)]
#[command(name = "get")]
struct Options {
    /// What to fetch, by http or https; a name and a password may be in it
    url: String,
    /// The file to write; `-` is the standard output. Else the URL's last part
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Begin anew, although a part is there
    #[arg(long)]
    restart: bool,
    /// A header to send, as `Name: value`
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// Tries after the first, if the connection breaks
    #[arg(long, default_value_t = 3)]
    retries: u32,
    /// Seconds that the server may be silent for
    #[arg(long, default_value_t = 30)]
    patience: u64,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    inside: Inside,
}

fn main() -> ExitCode {
    let options = Options::parse();
    // Names are looked up by coroutines, not by threads.
    grapeshot_dns::install();
    match grapeshot::run(move || get(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("get: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn get(options: &Options) -> Result<()> {
    let _inside = options.inside.serve("get", Backdoor::new("get"))?;
    let url = parse(&options.url)?;
    let patience = Duration::from_secs(options.patience);
    let client = Client::builder()
        .timeout(Phase::Answer, patience)
        .timeout(Phase::Content, patience)
        .build();
    let file = match &options.output {
        Some(file) if file.as_os_str() == "-" => return print(&client, options),
        Some(file) => file.clone(),
        None => name_of(&url),
    };
    let bar = bar(options.quiet, &file.display().to_string());
    let mut download = client
        .download(&options.url)
        .retries(Retries::most(options.retries))
        .resume(!options.restart)
        .progress({
            let bar = bar.clone();
            move |progress| show(&bar, progress)
        });
    for header in &options.headers {
        let (name, value) = split(header)?;
        download = download.header(name, value);
    }
    let result = download.to(&file);
    let elapsed = bar.elapsed();
    bar.finish_and_clear();
    let done = result?;
    if options.quiet {
        return Ok(());
    }
    let mut terminal = std::io::stderr().lock();
    for redirect in &done.redirects {
        writeln!(terminal, "{} ─▶ {}", redirect.status, redirect.to)?;
    }
    let fresh = done.length - done.resumed_from;
    let rate = fresh as f64 / elapsed.as_secs_f64().max(0.001);
    write!(
        terminal,
        "{}: {} in {} ({}/s)",
        file.display(),
        HumanBytes(done.length),
        HumanDuration(elapsed),
        HumanBytes(rate as u64),
    )?;
    if done.resumed_from > 0 {
        write!(
            terminal,
            ", {} of it from before",
            HumanBytes(done.resumed_from)
        )?;
    }
    if done.retries > 0 {
        write!(terminal, ", after {} more tries", done.retries)?;
    }
    writeln!(terminal)?;
    Ok(())
}

/// Writes it to the standard output as it comes.
fn print(client: &Client, options: &Options) -> Result<()> {
    let mut request = client
        .request("GET", &options.url)
        .retries(Retries::most(options.retries));
    for header in &options.headers {
        let (name, value) = split(header)?;
        request = request.header(name, value);
    }
    let mut response = request.send()?.success()?;
    // Nobody else is here who could want to run meanwhile.
    std::io::copy(&mut response, &mut std::io::stdout().lock())?;
    Ok(())
}

fn split(header: &str) -> Result<(&str, &str)> {
    let (name, value) = header
        .split_once(':')
        .with_context(|| format!("{header:?} is no header: write it as `Name: value`"))?;
    Ok((name.trim(), value.trim()))
}

/// The address as a URL. It is what is given most often wrong.
fn parse(url: &str) -> Result<Url> {
    let parsed = Url::parse(url).ok();
    let parsed = parsed.filter(|it| matches!(it.scheme(), "http" | "https") && it.has_host());
    parsed.with_context(|| {
        format!("{url:?} is no address: one begins with http:// or https://, and a host comes behind that")
    })
}

/// The last part of the URL's path.
fn name_of(parsed: &Url) -> PathBuf {
    let last = parsed
        .path_segments()
        .and_then(|mut parts| parts.next_back());
    let name = percent_encoding::percent_decode_str(last.unwrap_or_default()).decode_utf8_lossy();
    // What decoding brings to light must not lead elsewhere.
    let name = name.rsplit(['/', '\0']).next().unwrap_or_default();
    PathBuf::from(match name {
        "" | "." | ".." => "index.html",
        name => name,
    })
}

fn bar(quiet: bool, name: &str) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length().with_message(name.to_owned());
    bar.set_style(style(
        "{msg:.bold} {spinner:.cyan} {bytes} {bytes_per_sec:.dim}",
    ));
    bar
}

fn show(bar: &ProgressBar, progress: &Progress) {
    if bar.length().is_none()
        && let Some(total) = progress.total
    {
        bar.set_length(total);
        let template = "{msg:.bold} {wide_bar:.cyan/blue} {percent:>3}% {bytes:>11} of {total_bytes} {rate:.dim} {left:>4}";
        // What was there before was not fetched by this run, so it does not count for the speed.
        let before = progress.received;
        let speed = move |state: &ProgressState| {
            (state.pos().saturating_sub(before)) as f64 / state.elapsed().as_secs_f64().max(0.1)
        };
        let rate = move |state: &ProgressState, out: &mut dyn fmt::Write| {
            let _ = write!(out, "{}/s", HumanBytes(speed(state) as u64));
        };
        let left = move |state: &ProgressState, out: &mut dyn fmt::Write| {
            let rest = state.len().unwrap_or(0).saturating_sub(state.pos()) as f64;
            let _ = write!(out, "{:.0}s", (rest / speed(state).max(1.0)).min(1e6));
        };
        bar.set_style(
            style(template)
                .with_key("rate", rate)
                .with_key("left", left)
                .progress_chars("━╸─"),
        );
    }
    bar.set_position(progress.received);
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_told_what_one_begins_with() {
        for nonsense in [
            "nonsense",
            "example.org/a",
            "file:///etc/passwd",
            "http://",
            "",
        ] {
            let error = parse(nonsense).unwrap_err().to_string();
            assert!(error.contains("http:// or https://"), "{error}");
        }
        let url = parse("https://ada:love@example.org/a/image%20one.iso?x").unwrap();
        assert_eq!(name_of(&url), PathBuf::from("image one.iso"));
        assert_eq!(
            name_of(&parse("http://[::1]:80").unwrap()),
            PathBuf::from("index.html")
        );
    }
}
