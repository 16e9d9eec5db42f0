//! The parts of `docs/pipeline.md` that follow from the kinds of encoders and models.

use gristmill_learn::contract::registry::Registry;
use gristmill_learn::features::choose::{AUTO, rules};
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
    let names = kinds.encoders().iter().map(|kind| kind.name());
    let names: Vec<&str> = [AUTO].into_iter().chain(names).collect();
    let mut text = format!(
        "{TABLE}\
         | `column` | string | required | The column of the query. |\n\
         | `encode` | {} | `\"auto\"` | How it becomes numbers. Each encoder has keys of its own, below; those of another \
         encoder are refused. |\n\n\
         ### `encode = \"auto\"`\n\n\
         The encoder is chosen by what the column holds in the training rows that have a label. The first rule that holds decides:\n\n\
         {}",
        words(&names),
        rules()
    );
    for kind in kinds.encoders() {
        text.push_str(&chapter("encode", kind.name(), kind.doc(), kind.keys()));
    }
    text
}

/// The keys of `[model]`, and a chapter for each kind of model.
fn models(kinds: &Registry) -> String {
    let names = kinds.models().iter().map(|kind| kind.name());
    let names: Vec<&str> = [AUTO].into_iter().chain(names).collect();
    let mut text = format!(
        "{TABLE}\
         | `kind` | {} | `\"auto\"` | The model: a classifier, or a regression. Each has keys of its own, below; those of \
         another are refused. |\n\
         | `preset` | `\"spark\"` | none | `\"spark\"` gives the settings that the file does not give the defaults of Spark ML. |\n\
         | `calibrate` | `\"temperature\"` | none | Of a classifier: after the training all margins are divided by the one number with which \
         the log loss of the validation rows is least (temperature scaling, Guo et al., 2017). Without `thresholds` no prediction changes; \
         the probabilities do. The log loss and the expected calibration error of the validation rows (15 bins) before and after are \
         reported. |\n\n\
         ### `kind = \"auto\"`\n\n\
         The label chooses: a `logistic_regression` of classes, or a `linear_regression` of numbers; with the n-grams of a text, 8 or more\n\
         classes and validation rows a `factorized_softmax`. Numbers are classes where the\n\
         training rows hold whole ones, at most 20 different, each in 10 rows or more on average; what is no number is\n\
         classes. Settings that one of them alone has choose it, whatever the label holds: `label.min_rows`, `label.rare`,\n\
         `label.class_weight`, `search.metric`, and keys of the model such as `thresholds`. The run and the summary say what was\n\
         chosen.\n",
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
