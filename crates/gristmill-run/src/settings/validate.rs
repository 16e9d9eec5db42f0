//! What a pipeline file cannot say in one place because of what it says in another.

use super::pipeline::Pipeline;
use gristmill_learn::contract::encoder::Feature;
use gristmill_learn::settings::LabelKind;

use super::reader::Reader;
use super::sections::OF_CLASSES;

/// Reports every contradiction between settings that are each fine by themselves.
pub(super) fn contradictions(r: &mut Reader<'_>, pipeline: &Pipeline) {
    shares(r, pipeline);
    label_elsewhere(r, pipeline);
    features_twice(r, pipeline);
    of_the_model(r, pipeline);
    negative_features(r, pipeline);
    settings_of_classes(r, pipeline);
    metric(r, pipeline);
    halving(r, pipeline);
    calibration(r, pipeline);
    path(r, pipeline);
}

fn of_the_model(r: &mut Reader<'_>, pipeline: &Pipeline) {
    // Those of an open pipeline have the keys in common that can contradict each other.
    let Some(contradiction) = pipeline.model.contradiction() else {
        return;
    };
    let span = |key| r.spans.get(&format!("model.{key}")).cloned();
    let problem = r
        .at(span(contradiction.key), contradiction.message)
        .related(span(contradiction.other), contradiction.label);
    r.problems.push(problem.help(contradiction.help));
}

/// Standard scores are negative for half the rows, which a model that counts its features cannot take.
fn negative_features(r: &mut Reader<'_>, pipeline: &Pipeline) {
    let Some(model) = pipeline.model.counts() else {
        return;
    };
    for (setting, feature) in features(r, pipeline) {
        if let Some(negative) = feature.negative() {
            let problem = r
                .at(
                    r.spans.get(&setting).cloned(),
                    format!(
                        "{model} needs features of 0 or more, and {} makes negative ones",
                        negative.setting
                    ),
                )
                .label(negative.effect)
                .related(r.spans.get("model.kind").cloned(), "the model");
            r.problems
                .push(problem.help(format!("set {} for this feature, or remove it", negative.instead)));
        }
    }
}

/// A regression has no classes that could be rare or weigh something.
fn settings_of_classes(r: &mut Reader<'_>, pipeline: &Pipeline) {
    if pipeline.model.label() == LabelKind::Class {
        return;
    }
    for key in OF_CLASSES {
        let Some(at) = r.spans.get(&format!("label.{key}")).cloned() else {
            continue;
        };
        let problem = r
            .at(
                Some(at),
                format!("`label.{key}` applies to classes, and a regression has none"),
            )
            .related(r.spans.get("model.kind").cloned(), "the label is a number");
        let instead = match key {
            "class_weight" => "remove it; label.weight names a column with the weight of each row",
            _ => "remove it; [clean] filter drops rows",
        };
        r.problems.push(problem.help(instead));
    }
}

fn metric(r: &mut Reader<'_>, pipeline: &Pipeline) {
    let (metric, label) = (pipeline.search.metric, pipeline.model.label());
    if metric.label() == label || !r.usable("model.kind") {
        return;
    }
    let (kind, allowed) = match label {
        LabelKind::Class => (
            "a classifier",
            "\"f1\", \"macro_f1\", \"accuracy\" or \"log_loss\"",
        ),
        LabelKind::Number => ("a regression", "\"rmse\", \"mae\" or \"r2\""),
    };
    let problem = r
        .at(
            r.spans.get("search.metric").cloned(),
            format!("`search.metric` cannot be {} of {kind}", metric.name()),
        )
        .label(format!("expected {allowed}"))
        .related(r.spans.get("model.kind").cloned(), "the model");
    r.problems.push(problem);
}

/// What chooses a point of a path, or ends it, means nothing where there is none.
fn path(r: &mut Reader<'_>, pipeline: &Pipeline) {
    if pipeline.model.has_path() || !r.usable("model.kind") || !r.usable("model.reg_param") {
        return;
    }
    for key in ["choose", "seconds"] {
        let Some(span) = r.spans.get(&format!("search.{key}")).cloned() else {
            continue;
        };
        let problem = r
            .at(
                Some(span),
                format!("`search.{key}` is of a path of penalties, and this model has none"),
            )
            .related(r.spans.get("model.reg_param").cloned(), "the penalties");
        r.problems
            .push(problem.help(format!("set model.reg_param = \"auto\", or remove search.{key}")));
    }
}

fn halving(r: &mut Reader<'_>, pipeline: &Pipeline) {
    if pipeline.search.halving.is_none() || pipeline.model.can_halve() || !r.usable("model.kind") {
        return;
    }
    let is_path = pipeline.model.settings()["reg_param"] == "auto";
    let (message, help) = if is_path {
        (
            "`search.halving` is of a grid, and `model.reg_param` = \"auto\" is a path",
            "give model.reg_param a list of penalties, or remove search.halving",
        )
    } else {
        (
            "`search.halving` saves iterations, and this model is fitted without any",
            "remove search.halving",
        )
    };
    let problem = r
        .at(r.spans.get("search.halving").cloned(), message)
        .related(r.spans.get("model.kind").cloned(), "the model");
    r.problems.push(problem.help(help));
}

/// A temperature is of probabilities, and is found on the validation rows.
fn calibration(r: &mut Reader<'_>, pipeline: &Pipeline) {
    if !pipeline.calibrate {
        return;
    }
    let at = r.spans.get("model.calibrate").cloned();
    if pipeline.model.label() == LabelKind::Number {
        let problem = r
            .at(
                at,
                "`model.calibrate` is for probabilities, and a regression has none",
            )
            .related(r.spans.get("model.kind").cloned(), "the label is a number");
        r.problems.push(problem.help("remove model.calibrate"));
    } else if pipeline.split.validation == 0.0 {
        let problem = r
            .at(at, "`model.calibrate` needs validation rows, and there are none")
            .related(
                r.spans.get("split.validation").cloned(),
                "the share of the entities to validate on",
            );
        r.problems.push(problem.help("set split.validation above 0"));
    }
}

fn shares(r: &mut Reader<'_>, pipeline: &Pipeline) {
    let split = &pipeline.split;
    if split.column.is_some() {
        let mut shares = ["train", "validation", "test"].into_iter();
        let given = shares.find_map(|name| r.spans.get(&format!("split.{name}")).cloned());
        if let Some(given) = given {
            let problem = r
                .at(Some(given), "the shares of [split] do not go with `split.column`")
                .label("how many rows are in each split is what the column says")
                .related(r.spans.get("split.column").cloned(), "the column");
            r.problems
                .push(problem.help("remove the shares, or remove split.column"));
        }
        return;
    }
    let shares = [
        ("train", split.train),
        ("validation", split.validation),
        ("test", split.test),
    ];
    let settings = shares.map(|(name, _)| format!("split.{name}"));
    if !settings.iter().all(|setting| r.usable(setting)) {
        return;
    }
    let given = settings.iter().find_map(|setting| r.spans.get(setting).cloned());
    let sum = split.train + split.validation + split.test;
    if (sum - 1.0).abs() > 1e-9 {
        let listed = shares.map(|(name, share)| {
            let default = if r.spans.contains_key(&format!("split.{name}")) {
                ""
            } else {
                " (the default)"
            };
            format!("{name} = {share}{default}")
        });
        // Rounded, so that 0.7 + 0.2 + 0.2 reads 1.1.
        let sum = (sum * 1e9).round() / 1e9;
        let problem = r.at(given, format!("the shares of [split] sum to {sum}, not to 1"));
        r.problems.push(problem.help(listed.join(", ")));
    } else if split.train <= 0.0 {
        let at = r.spans.get("split.train").cloned();
        let problem = r.at(at, "`split.train` is 0: no row would be left to train on");
        r.problems.push(problem.label("expected a share above 0"));
    }
}

fn label_elsewhere(r: &mut Reader<'_>, pipeline: &Pipeline) {
    let label = pipeline.label.column.as_str();
    let label_at = r.spans.get("label.column").cloned();
    if label.is_empty() {
        return;
    }
    for (setting, feature) in features(r, pipeline) {
        if feature.columns().iter().any(|column| column == label) {
            let problem = r
                .at(
                    r.spans.get(&setting).cloned(),
                    "the label column is also a feature",
                )
                .label("the model would read the answer here")
                .related(label_at.clone(), "the label");
            r.problems.push(problem.help("remove this [[feature]]"));
        }
    }
    if pipeline.label.weight.as_deref() == Some(label) {
        let problem = r
            .at(
                r.spans.get("label.weight").cloned(),
                "the label column is also the weight of the rows",
            )
            .label("the weights would be what the model is to learn")
            .related(label_at.clone(), "the label");
        r.problems
            .push(problem.help("remove label.weight; label.class_weight gives weights to classes"));
    }
    if pipeline.split.column.as_deref() == Some(label) {
        let problem = r
            .at(
                r.spans.get("split.column").cloned(),
                "the label column is also the one that says the split",
            )
            .related(label_at.clone(), "the label");
        r.problems.push(problem);
    }
    if pipeline.split.by == label {
        let by_at = r
            .spans
            .get("split.by")
            .or_else(|| r.spans.get("source.key"))
            .cloned();
        let problem = r
            .at(by_at, "the rows are split by the label column")
            .label("all rows of a class would be in the same split")
            .related(label_at, "the label");
        r.problems
            .push(problem.help("set split.by to the column that tells entities apart"));
    }
}

fn features_twice(r: &mut Reader<'_>, pipeline: &Pipeline) {
    let features = features(r, pipeline);
    for (at, (setting, feature)) in features.iter().enumerate() {
        let same = |(_, earlier): &&(String, &Feature)| {
            earlier.columns() == feature.columns()
                && earlier.kind() == feature.kind()
                && earlier.variant() == feature.variant()
        };
        if let Some((first, _)) = features[..at].iter().find(same) {
            let problem = r
                .at(
                    r.spans.get(setting).cloned(),
                    "two features have the same column and encoder",
                )
                .label("the same again")
                .related(r.spans.get(first).cloned(), "first here");
            r.problems
                .push(problem.help("remove one, or encode the column in another way"));
        }
    }
}

/// Each feature with the path of its column; none if some could not be read, since paths count all of them.
fn features<'p>(r: &Reader<'_>, pipeline: &'p Pipeline) -> Vec<(String, &'p Feature)> {
    if r.spans
        .contains_key(&format!("feature[{}]", pipeline.features.len()))
    {
        return Vec::new();
    }
    let paths = pipeline.features.iter().enumerate();
    let paths = paths.map(|(index, feature)| (format!("feature[{index}].column"), feature));
    paths
        .filter(|(_, feature)| feature.columns().iter().all(|column| !column.is_empty()))
        .collect()
}
