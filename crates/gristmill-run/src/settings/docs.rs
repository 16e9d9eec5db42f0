//! The parts of `docs/pipeline.md` that follow from the kinds of encoders and models.

use gristmill_learn::contract::registry::Registry;
use gristmill_learn::settings::Key;

const TABLE: &str = "| Key | Type | Default | Meaning |\n|---|---|---|---|\n";

/// The documentation with its generated parts as these kinds make them; each stands between two comments, as
/// `<!-- encoders: generated -->` and `<!-- encoders: end -->`.
///
/// # Errors
/// The comment that is not there.
pub fn generated(text: &str, kinds: &Registry) -> Result<String, String> {
    let text = replaced(text, "encoders", &encoders(kinds))?;
    replaced(&text, "models", &models(kinds))
}

/// The keys of `[[feature]]`, and a chapter for each kind of encoder.
fn encoders(kinds: &Registry) -> String {
    let names: Vec<&str> = kinds.encoders().iter().map(|kind| kind.name()).collect();
    let mut text = format!(
        "{TABLE}\
         | `column` | string | required | The column of the query. |\n\
         | `encode` | {} | required | How it becomes numbers. Each encoder has keys of its own, below; those of another \
         encoder are refused. |\n",
        words(&names)
    );
    for kind in kinds.encoders() {
        text.push_str(&chapter("encode", kind.name(), kind.doc(), kind.keys()));
    }
    text
}

/// The keys of `[model]`, and a chapter for each kind of model.
fn models(kinds: &Registry) -> String {
    let names: Vec<&str> = kinds.models().iter().map(|kind| kind.name()).collect();
    let mut text = format!(
        "{TABLE}\
         | `kind` | {} | required | The model: a classifier, or a regression. Each has keys of its own, below; those of \
         another are refused. |\n",
        words(&names)
    );
    for kind in kinds.models() {
        text.push_str(&chapter("kind", kind.name(), kind.doc(), kind.keys()));
        if !kind.notes().is_empty() {
            text.push_str(&format!("\n{}\n", kind.notes()));
        }
    }
    text
}

fn chapter(setting: &str, name: &str, doc: &str, keys: &[Key]) -> String {
    let rows: String = keys.iter().map(|key| key.row() + "\n").collect();
    format!("\n### `{setting} = \"{name}\"`\n\n{doc}\n\n{TABLE}{rows}")
}

/// `` `"a"`, `"b"` ``
fn words(names: &[&str]) -> String {
    let words: Vec<String> = names.iter().map(|name| format!("`\"{name}\"`")).collect();
    words.join(", ")
}

fn replaced(text: &str, part: &str, with: &str) -> Result<String, String> {
    let (begin, end) = (
        format!("<!-- {part}: generated -->\n"),
        format!("<!-- {part}: end -->"),
    );
    let (before, rest) = text.split_once(&begin).ok_or_else(|| begin.clone())?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| end.clone())?;
    Ok(format!("{before}{begin}\n{with}\n{end}{after}"))
}
