//! `cargo xtask picture`: runs the demo, and draws what it printed as the picture in the README.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::python::{gristmill, target};

pub(crate) const USAGE: &str = "cargo xtask picture    run the demo, and draw what it prints: docs/run.svg";

/// Columns of the terminal.
const COLUMNS: usize = 80;
/// The size of a character and the margin, in pixels.
const CHARACTER: (f64, f64) = (8.4, 20.0);
const MARGIN: f64 = 20.0;

/// Runs the demo and writes `docs/run.svg`.
pub(crate) fn run(root: &Path) -> Result<()> {
    let binary = fs::canonicalize(gristmill(root)?)?;
    let dir = target(root).join("picture");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    let output = Command::new(binary)
        .arg("demo")
        .current_dir(&dir)
        .output()
        .context("the demo cannot be started")?;
    let progress = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "the demo failed: {progress}");
    let summary = String::from_utf8(output.stdout)?;
    let lines: Vec<&str> = ["$ gristmill demo"]
        .into_iter()
        .chain(progress.lines())
        .chain(summary.lines())
        .collect();
    let path = root.join("docs/run.svg");
    fs::write(&path, drawn(&lines)).with_context(|| path.display().to_string())
}

/// A terminal with these lines, as SVG.
fn drawn(lines: &[&str]) -> String {
    let (width, height) = CHARACTER;
    let (columns, rows) = (COLUMNS as f64, lines.len() as f64);
    let (all, tall) = (columns * width + 2.0 * MARGIN, rows * height + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {all:.0} {tall:.0}\" role=\"img\" \
         aria-label=\"What gristmill demo prints\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#16191f\"/>\n\
         <g font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, monospace\" font-size=\"14\" xml:space=\"preserve\">\n"
    );
    let with_text = lines.iter().enumerate().filter(|(_, line)| !line.is_empty());
    for (row, line) in with_text {
        let y = MARGIN + (row as f64 + 0.75) * height;
        let colour = if line.starts_with("$ ") {
            "#8ccf7e"
        } else {
            "#d8dee9"
        };
        // Writing to a String cannot fail. The length keeps columns in line, whatever font the reader has.
        let _ = writeln!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{y:.0}\" fill=\"{colour}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\">{}</text>",
            line.chars().count() as f64 * width,
            escaped(line)
        );
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

/// Text as XML holds it; spaces stay as they are.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace(' ', "\u{a0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_text_that_xml_can_hold() {
        let svg = drawn(&["$ a <b> & c", "", "d"]);
        assert!(
            svg.contains(">$\u{a0}a\u{a0}&lt;b&gt;\u{a0}&amp;\u{a0}c</text>"),
            "{svg}"
        );
        assert_eq!(svg.matches("<text").count(), 2);
        assert!(svg.contains("viewBox=\"0 0 712 100\""), "{svg}");
    }
}
