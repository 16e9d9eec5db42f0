//! The only file that prints: data on stdout, everything else on stderr.
//!
//! Others' text passes `visible::text` before it is put into colours. Whatever leaves, passes `scrub` once more.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{SecondsFormat, Utc};
use gristmill_data::secret::{scrub, scrub_json, scrub_quoted};
use gristmill_run::event::{Event, Observe};
use gristmill_run::report::chosen;
use gristmill_run::visible;
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::{Color, GlobalArgs, LogFormat};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::words;
use gristmill_run::settings::diagnose::{WIDTH, wrap};

pub use gristmill_run::report::{counted, thousands};

/// Without a terminal, a stage says how far it is once in this time.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const GREEN: &str = "1;32";

/// Where a command says things.
#[derive(Debug)]
pub struct Printer {
    quiet: bool,
    verbose: u8,
    json: bool,
    color: bool,
    terminal: Terminal,
    stages: Mutex<BTreeMap<&'static str, Stage>>,
    interrupt: Interrupt,
}

/// A stage that is under way.
#[derive(Debug)]
struct Stage {
    unit: &'static str,
    total: Option<u64>,
    /// Units that an earlier run did, which say nothing of the pace.
    before: u64,
    started: Instant,
    said: Instant,
    bar: Option<ProgressBar>,
}

/// The stderr, shared with the progress bars if there are any.
#[derive(Debug, Clone)]
struct Terminal(Option<MultiProgress>);

impl Terminal {
    /// A line for people.
    fn line(&self, text: &str) {
        self.write(&format!("{}\n", scrub(text)));
    }

    /// A line for programs.
    fn json(&self, mut value: Value) {
        scrub_json(&mut value);
        self.write(&format!("{}\n", visible::json(&value)));
    }

    fn write(&self, text: &str) {
        // Nobody is left to tell if stderr is closed.
        let write = || {
            let _ = io::stderr().lock().write_all(text.as_bytes());
        };
        match &self.0 {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }
}

/// Where traced events go.
struct Log {
    terminal: Terminal,
    json: bool,
}

/// Where one of them goes.
struct LogEvent {
    terminal: Terminal,
    json: bool,
    /// Whether a library tells it, which may repeat a query in pieces.
    foreign: bool,
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = LogEvent;

    fn make_writer(&'a self) -> LogEvent {
        LogEvent {
            terminal: self.terminal.clone(),
            json: self.json,
            foreign: true,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LogEvent {
        LogEvent {
            foreign: !metadata.target().starts_with("gristmill"),
            ..self.make_writer()
        }
    }
}

impl Write for LogEvent {
    /// The subscriber writes an event as a whole.
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(buffer);
        let text = text.trim_end_matches('\n');
        match serde_json::from_str(text) {
            Ok(mut value) if self.json => {
                if self.foreign {
                    each_text(&mut value, &|text| scrub_quoted(text));
                }
                self.terminal.json(value);
            }
            _ if self.foreign => self.terminal.line(&visible::text(&scrub_quoted(text))),
            _ => self.terminal.line(&visible::text(text)),
        }
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints help, the version or a wrong usage, and returns the exit code that goes with it.
pub fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        // It repeats what was given.
        let text = error.render().to_string();
        Terminal(None).line(visible::text(&text).trim_end());
    } else {
        // Nobody is left to tell if this fails.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

impl Printer {
    /// A printer as the flags ask for.
    pub fn new(flags: &GlobalArgs) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let json = flags.log_format == LogFormat::Json;
        let bars = is_terminal && !json && !flags.quiet && !flags.no_progress;
        Self {
            quiet: flags.quiet,
            verbose: flags.verbose,
            json,
            color: match flags.color {
                Color::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()),
                Color::Always => true,
                Color::Never => false,
            },
            terminal: Terminal(bars.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))),
            stages: Mutex::default(),
            interrupt: Interrupt::default(),
        }
    }

    /// Sends what libraries trace to stderr too: warnings, with -v our own crates' debug events, with -vv everyone's.
    /// `RUST_LOG` says otherwise.
    pub fn subscribe(&self) {
        let default = match (self.quiet, self.verbose) {
            (true, _) => "error,buoyant_kernel=off",
            // What Delta's library finds is told in an error of our own, by the file and with the way out.
            (_, 0) => "warn,buoyant_kernel=off",
            (_, 1) => {
                "warn,buoyant_kernel=off,gristmill=debug,gristmill_data=debug,gristmill_run=debug,gristmill_learn=debug"
            }
            _ => "debug",
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
        let (terminal, json) = (self.terminal.clone(), self.json);
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            // Its colours could not be told from those that an event brings along.
            .with_ansi(false)
            .with_writer(Log { terminal, json });
        // A second subscriber, as tests in one process may make, is no reason to stop.
        let _ = if self.json {
            subscriber.json().flatten_event(true).try_init()
        } else {
            subscriber.without_time().try_init()
        };
    }

    /// Lets a signal stop the work that is watched from now on, where it is safe to; a second one ends the process.
    ///
    /// # Errors
    /// When the system gives no way to listen for signals.
    pub fn stop_on_signals(&self) -> Result<(), Failure> {
        let (quiet, json, terminal) = (self.quiet, self.json, self.terminal.clone());
        let say = move || {
            if !quiet && !json {
                terminal.line("stopping; again to stop at once");
            }
        };
        self.interrupt.listen(say).map_err(Failure::Run)
    }

    /// Says what a panic says as everything else is said. It is a fault of ours, and not a message that anybody planned.
    pub fn hear_panics(&self) {
        let (json, terminal) = (self.json, self.terminal.clone());
        std::panic::set_hook(Box::new(move |panic| {
            let what = scrub_quoted(panic.payload_as_str().unwrap_or("no message"));
            let at = panic.location().map(|at| format!(" ({at})")).unwrap_or_default();
            let message = format!("panicked{at}: {what}");
            if json {
                terminal.json(logged("ERROR", &message, json!({})));
            } else {
                terminal.line(&format!("error: {}", visible::text(&message)));
            }
        }));
    }

    /// Prints text on stdout. Whoever stopped reading it has seen enough: a closed pipe is no error.
    pub fn data(&self, text: &str) -> Result<(), Failure> {
        let write = || {
            let mut stdout = io::stdout().lock();
            stdout.write_all(visible::text(text).as_bytes())?;
            stdout.flush()
        };
        let written = match &self.terminal.0 {
            Some(bars) => bars.suspend(write),
            None => write(),
        };
        match written {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(error).context("cannot write to stdout").map_err(Failure::Run)
            }
            _ => Ok(()),
        }
    }

    /// What takes rows for the standard output, where there is nothing else then.
    pub fn rows(&self) -> Box<dyn Write + Send> {
        Box::new(io::stdout())
    }

    /// Says what the user wants to know, but not as data.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.say("INFO", &visible::text(text), text, json!({}));
        }
    }

    /// Says why the command failed.
    pub fn failure(&self, failure: &Failure) {
        self.clear_bars();
        match failure {
            Failure::Configuration(problems) => {
                for problem in problems {
                    let text = format!("{}\n", problem.render(self.color));
                    self.say("ERROR", &text, problem.message(), problem.json());
                }
                if problems.len() > 1 && !self.json {
                    self.terminal
                        .line(&format!("{} problems, nothing was done", problems.len()));
                }
            }
            Failure::Interrupted(error) => {
                let text = self.labelled(YELLOW, "stopped", &error.to_string());
                self.say("WARN", &text, &error.to_string(), json!({}));
            }
            Failure::Input(error) | Failure::Run(error) => {
                let mut text = self.labelled(RED, "error", &error.to_string());
                let mut last = error.to_string();
                let mut causes = Vec::new();
                for cause in error
                    .chain()
                    .skip(1)
                    .map(|cause| scrub_quoted(&cause.to_string()))
                {
                    // Many errors already say their cause.
                    if !last.contains(&cause) {
                        text.push_str(&format!("\n  {}", self.labelled(RED, "caused by", &cause)));
                        causes.push(cause.clone());
                        last = cause;
                    }
                }
                self.say("ERROR", &text, &error.to_string(), json!({ "causes": causes }));
            }
        }
    }

    /// One message: `text` for people, or a JSON object with `message` and `fields`.
    fn say(&self, level: &str, text: &str, message: &str, fields: Value) {
        if self.json {
            self.terminal.json(logged(level, message, fields));
        } else {
            self.terminal.line(text);
        }
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{style}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// The name of a stage, in its column.
    fn stage(&self, name: &str) -> String {
        self.paint(GREEN, &format!("{name:>9}"))
    }

    /// `label: text` in lines that fit, those after the first indented.
    fn labelled(&self, style: &str, label: &str, text: &str) -> String {
        let body = wrap(&visible::text(text), WIDTH - label.len() - 2).replace('\n', "\n  ");
        format!("{}: {body}", self.paint(style, label))
    }

    fn clear_bars(&self) {
        let stages = std::mem::take(&mut *self.stages.lock().unwrap_or_else(PoisonError::into_inner));
        for bar in stages.into_values().filter_map(|stage| stage.bar) {
            bar.finish_and_clear();
        }
    }

    fn start(&self, stage: &'static str, unit: &'static str, total: Option<u64>) -> Stage {
        let bar = self.terminal.0.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden()));
            bar.set_style(style(unit, total.is_some(), self.color));
            bar.set_prefix(stage);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let now = Instant::now();
        Stage {
            unit,
            total,
            before: 0,
            started: now,
            said: now,
            bar,
        }
    }

    fn resumed(&self, name: &'static str, done: u64) {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stage) = stages.get_mut(name) else { return };
        stage.before = done;
        if let Some(bar) = &stage.bar {
            bar.set_position(done);
            bar.reset_eta();
        }
    }

    fn progress(&self, name: &'static str, done: u64, message: &str) {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stage) = stages.get_mut(name) else { return };
        if let Some(bar) = &stage.bar {
            bar.set_position(done);
            bar.set_message(visible::text(message));
        } else if stage.said.elapsed() >= PLAIN_INTERVAL {
            stage.said = Instant::now();
            let seconds = stage.started.elapsed().as_secs_f64();
            let fields = json!({
                "event": "progress", "stage": name, "unit": stage.unit, "done": done, "total": stage.total,
                "seconds": seconds,
            });
            let text = progress_line(name, stage, done, seconds, &visible::text(message));
            drop(stages);
            self.say("INFO", &text, message, fields);
        }
    }
}

impl Observe for Printer {
    fn stopping(&self) -> bool {
        self.interrupt.requested()
    }

    fn event(&self, event: Event) {
        if self.quiet {
            return;
        }
        match event {
            Event::StageStarted { stage, unit, total } => {
                let state = self.start(stage, unit, total);
                self.stages
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(stage, state);
                if self.json {
                    let fields =
                        json!({ "event": "stage_started", "stage": stage, "unit": unit, "total": total });
                    self.say("INFO", "", "", fields);
                }
            }
            Event::StageResumed { stage, done } => self.resumed(stage, done),
            Event::Progress { stage, done, pace } => self.progress(stage, done, &words::pace(&pace)),
            Event::StageFinished {
                stage,
                seconds,
                result,
            } => {
                let state = self
                    .stages
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(stage);
                if let Some(bar) = state.and_then(|state| state.bar) {
                    bar.finish_and_clear();
                }
                let fields = json!({
                    "event": "stage_finished", "stage": stage, "seconds": seconds, "result": result,
                });
                let message = words::result(&result);
                let said = visible::text(&message);
                let text = format!("{} {said}, {}", self.stage(stage), duration(seconds));
                self.say("INFO", &text, &message, fields);
            }
            Event::StageSkipped { stage } => {
                let fields = json!({ "event": "stage_skipped", "stage": stage });
                let message = words::skipped(stage);
                self.say(
                    "INFO",
                    &format!("{} skipped: {message}", self.stage(stage)),
                    message,
                    fields,
                );
            }
            Event::StageRedone { stage, why } => {
                let message = format!("{stage} is done again: {why}");
                let text = self.labelled(YELLOW, "warning", &message);
                let fields = json!({ "event": "stage_redone", "stage": stage });
                self.say("WARN", &text, &message, fields);
            }
            Event::Chosen(choice) => {
                // All of them are in the summary.
                const SHOWN: usize = 20;
                let lines = chosen(&choice);
                let more = lines.len().saturating_sub(SHOWN);
                let more =
                    (more > 0).then(|| format!("and {}, in summary.txt", counted(more as u64, "other")));
                let shown: Vec<String> = lines.into_iter().take(SHOWN).chain(more).collect();
                let indented = |line: &String| {
                    let line = wrap(&visible::text(line), WIDTH - 10);
                    format!("{:10}{}", "", line.replace('\n', &format!("\n{:12}", "")))
                };
                let text: Vec<String> = shown.iter().map(indented).collect();
                let fields = json!({ "event": "chosen", "chosen": choice });
                self.say("INFO", &text.join("\n"), &shown.join("; "), fields);
            }
            Event::Warning(warning) => {
                let message = words::warning(&warning);
                let text = self.labelled(YELLOW, "warning", &message);
                self.say("WARN", &text, &message, json!({ "warning": warning }));
            }
            Event::Detail(detail) if self.verbose > 0 => {
                let message = words::detail(&detail);
                self.say(
                    "DEBUG",
                    &format!("{:>9} {}", "", visible::text(&message)),
                    &message,
                    json!({ "detail": detail }),
                );
            }
            Event::Detail(_) => {}
        }
    }
}

/// A message for programs.
fn logged(level: &str, message: &str, mut fields: Value) -> Value {
    fields["timestamp"] = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true).into();
    fields["level"] = level.into();
    fields["message"] = message.into();
    fields
}

/// Changes every text of a JSON value.
fn each_text(value: &mut Value, change: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, change)),
        Value::Object(entries) => entries.values_mut().for_each(|entry| each_text(entry, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn style(unit: &str, total: bool, color: bool) -> ProgressStyle {
    let prefix = if color {
        "{prefix:>9.green.bold}"
    } else {
        "{prefix:>9}"
    };
    let template = if total {
        format!("{prefix} [{{bar:16}}] {{human_pos}}/{{human_len}} {unit} {{rate}} {{left}} {{wide_msg}}")
    } else {
        format!("{prefix} {{spinner}} {{human_pos}} {unit} {{rate}} {{elapsed}} {{wide_msg}}")
    };
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style
        .progress_chars("=> ")
        .with_key(
            "rate",
            |state: &indicatif::ProgressState, text: &mut dyn std::fmt::Write| {
                let _ = write!(text, "{}/s", rate(state.per_sec()));
            },
        )
        .with_key(
            "left",
            |state: &indicatif::ProgressState, text: &mut dyn std::fmt::Write| {
                if state.pos() > 0 {
                    let _ = write!(text, "{} left", duration(state.eta().as_secs_f64()));
                }
            },
        )
}

fn progress_line(name: &str, stage: &Stage, done: u64, seconds: f64, message: &str) -> String {
    let now = done.saturating_sub(stage.before);
    let per_second = now as f64 / seconds.max(1e-9);
    let mut line = format!("{name:>9} {}", HumanCount(done));
    if let Some(total) = stage.total {
        line.push_str(&format!("/{}", HumanCount(total)));
    }
    line.push_str(&format!(" {}, {}/s", stage.unit, rate(per_second)));
    if let Some(total) = stage.total.filter(|total| *total > done && now > 0) {
        line.push_str(&format!(
            ", {} left",
            duration((total - done) as f64 / per_second)
        ));
    }
    if !message.is_empty() {
        line.push_str(&format!(", {message}"));
    }
    line
}

/// Three digits or whole numbers.
fn rate(per_second: f64) -> impl Display {
    if per_second < 10.0 {
        format!("{per_second:.1}")
    } else {
        HumanCount(per_second as u64).to_string()
    }
}

/// `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Bytes in the unit that memory budgets are written in, e.g. `1.5 GB`.
pub fn bytes(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_progress_says_rate_and_remaining_time() {
        let stage = |unit, total, before| Stage {
            unit,
            total,
            before,
            started: Instant::now(),
            said: Instant::now(),
            bar: None,
        };
        let rows = stage("rows", Some(1_000_000), 0);
        assert_eq!(
            progress_line("pull", &rows, 120_000, 5.0, "7.5 MB/s"),
            "     pull 120,000/1,000,000 rows, 24,000/s, 37 s left, 7.5 MB/s"
        );
        assert_eq!(
            progress_line("train", &stage("scans", None, 0), 3, 6.0, "objective 1.5"),
            "    train 3 scans, 0.5/s, objective 1.5"
        );
        assert_eq!(
            progress_line("pull", &stage("rows", Some(10), 0), 0, 5.0, ""),
            "     pull 0/10 rows, 0.0/s"
        );
        // What an earlier run read came in no time.
        assert_eq!(
            progress_line("pull", &stage("rows", Some(1_000_000), 600_000), 700_000, 5.0, ""),
            "     pull 700,000/1,000,000 rows, 20,000/s, 15 s left"
        );
    }

    #[test]
    fn durations_read_well() {
        for (seconds, text) in [
            (0.04, "0.0 s"),
            (9.4, "9.4 s"),
            (59.4, "59 s"),
            (200.0, "3 min 20 s"),
            (7500.0, "2 h 5 min"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
