//! Everything that is fitted, in one scan over the dataset.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, UInt8Array, UInt64Array};
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::Schema;
use serde_json::json;

use crate::contract::encoder::{Answers, Feature, FittedTo};
use crate::contract::pass::{Accumulate, Grain, Pass, Share};
use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};
use crate::features::Assembler;
use crate::features::split::Splitter;
use crate::label::{Label, OTHER, Weigher};
use crate::rows::{SPLIT_NAMES, Split};
use crate::settings::{LabelKind, LabelSettings, Rare, SplitSettings};
use crate::statistics::{ColumnProfile, Counts, Many, Profile, state_column};

const NAME: &str = "fit";

/// The version of the state that a fit leaves, of every encoder, the label and the split. Raise it when its layout changes, or
/// when the same rows and settings give another state: what an earlier version fitted is then fitted again.
pub const FIT_FORMAT: u32 = 5;

/// The kind of the spec of [`FitPass`].
pub(crate) const KIND: &str = NAME;

/// Fits the label and every feature on the training rows that have a label, rare ones included, and counts all rows.
pub struct FitPipeline {
    features: Vec<Feature>,
    /// The columns that they read, each once.
    columns: Vec<String>,
    pass: FitPass,
}

/// The pass of a [`FitPipeline`].
///
/// The state holds, as that of [`Many`], the rows of every split, the classes, the state of each feature, and the profile of each
/// column that they read.
pub struct FitPass {
    splitter: Splitter,
    label: LabelSettings,
    /// Whether a feature is fitted to label and fold.
    sees_answers: bool,
    passes: Many,
}

/// What [`FitPipeline`] learns.
pub struct Fitted {
    /// The fitted features, label and split.
    pub assembler: Assembler,
    /// What the training rows have in each column that a feature reads.
    pub profiles: BTreeMap<String, ColumnProfile>,
    /// Rows of each split ([`SPLIT_NAMES`]), with a label or without.
    pub rows: [u64; 3],
    /// Those of them with no label.
    pub null_label: [u64; 3],
    /// Classes with fewer than `min_rows` training rows.
    pub rare_classes: u64,
    /// Their training rows.
    pub rare_rows: u64,
    /// The rarest class, if it has fewer training rows than there are folds: some fold must do without it.
    pub fewer_rows_than_folds: Option<(String, u64)>,
}

impl Fitted {
    /// Training rows with a label.
    pub fn training_rows(&self) -> u64 {
        let train = Split::Train as usize;
        self.rows[train] - self.null_label[train]
    }
}

impl FitPipeline {
    /// A fit of these features, for a search over `folds` folds.
    pub fn new(features: &[Feature], label: &LabelSettings, split: &SplitSettings, folds: u32) -> Self {
        let mut passes: Vec<Box<dyn Pass>> = vec![Label::pass(label)];
        passes.extend(features.iter().map(|feature| feature.pass()));
        let mut columns: Vec<String> = Vec::new();
        for column in features.iter().flat_map(|feature| feature.columns()) {
            if !columns.contains(column) {
                columns.push(column.clone());
            }
        }
        let profiles = columns.iter().map(|column| Box::new(Profile::new(column)) as _);
        passes.extend(profiles);
        Self {
            features: features.to_vec(),
            columns,
            pass: FitPass {
                sees_answers: features.iter().any(|feature| feature.sees_answers()),
                ..FitPass::new(Splitter::new(split, folds), label, Many::new(passes))
            },
        }
    }

    /// The fold that gathers what is needed.
    pub fn pass(&self) -> &FitPass {
        &self.pass
    }

    /// The fold alone.
    pub fn into_pass(self) -> FitPass {
        self.pass
    }

    /// The fitted pipeline from the final state.
    pub fn fitted(&self, state: &RecordBatch) -> Result<Fitted> {
        let states = Many::states(state)?;
        let (rows, label, rest) = match states.as_slice() {
            [rows, label, rest @ ..] if rest.len() == self.features.len() + self.columns.len() => {
                (rows, label, rest)
            }
            _ => return Err(bad(format!("it holds {} states", states.len()))),
        };
        let (features, profiles) = rest.split_at(self.features.len());
        let counted = Rows::from_state(rows)?;
        self.pass.check_training(&counted)?;
        let Rows { rows, null_label } = counted;
        let FitPass {
            splitter,
            label: settings,
            ..
        } = &self.pass;
        let fitted_label = Label::fitted(settings, label)?;
        let mut rare: Vec<u64> = Vec::new();
        let mut fewer_rows_than_folds = None;
        if let Label::Class(indexer) = &fitted_label {
            let counts = Counts::from_state(label)?.values.into_iter();
            rare.extend(
                counts
                    .map(|(_, rows)| rows)
                    .filter(|rows| *rows < settings.min_rows),
            );
            let folds = u64::from(splitter.folds());
            let rarest = indexer.classes().iter().zip(indexer.rows()).next_back();
            fewer_rows_than_folds = rarest
                .filter(|(_, rows)| **rows < folds)
                .map(|(class, rows)| (class.clone(), *rows));
        }
        let weigher = Weigher::fitted(settings, &fitted_label)?;
        let to = FittedTo {
            classes: fitted_label.classes(),
            folds: splitter.folds(),
            rows: rows[Split::Train as usize] - null_label[Split::Train as usize],
            rare: (settings.rare == Rare::Other).then_some(OTHER),
        };
        let encoders: Result<_> = self
            .features
            .iter()
            .zip(features)
            .map(|(feature, state)| feature.fitted(state, &to))
            .collect();
        let assembler = Assembler::new(encoders?, fitted_label, splitter.clone()).with_weights(weigher);
        Ok(Fitted {
            assembler,
            profiles: self.profiles(features, profiles)?,
            rows,
            null_label,
            rare_classes: rare.len() as u64,
            rare_rows: rare.iter().sum(),
            fewer_rows_than_folds,
        })
    }

    /// The profiles of the columns, by the states of the features and of their own.
    fn profiles(
        &self,
        features: &[RecordBatch],
        profiles: &[RecordBatch],
    ) -> Result<BTreeMap<String, ColumnProfile>> {
        let mut all = BTreeMap::new();
        for (column, state) in self.columns.iter().zip(profiles) {
            all.insert(column.clone(), Profile::fitted(state)?);
        }
        for (feature, state) in self.features.iter().zip(features) {
            let frequent = feature.frequent(state)?.into_iter();
            if let [column] = feature.columns()
                && let Some(profile) = all.get_mut(column)
            {
                let share = |rows: u64| rows as f64 / profile.rows as f64;
                let frequent: Vec<_> = frequent.map(|(value, rows)| (value, share(rows))).collect();
                if !frequent.is_empty() {
                    profile.frequent = frequent;
                }
            }
        }
        Ok(all)
    }
}

impl FitPass {
    /// The passes over the training rows that have this label, and no answers.
    pub(super) fn new(splitter: Splitter, label: &LabelSettings, passes: Many) -> Self {
        Self {
            splitter,
            label: label.clone(),
            sees_answers: false,
            passes,
        }
    }

    /// What the label is.
    pub(super) fn label_kind(&self) -> LabelKind {
        self.label.kind
    }

    /// Refuses to learn from no row.
    pub(super) fn check_training(&self, Rows { rows, null_label }: &Rows) -> Result<()> {
        let train = Split::Train as usize;
        if rows[train] == 0 {
            return Err(Error::EmptySplit {
                what: format!("the {} split", SPLIT_NAMES[train]),
                why: match self.splitter.said_by() {
                    Some(column) => format!(
                        "column `{column}` says so of no row, of {} in all",
                        rows.iter().sum::<u64>()
                    ),
                    None => format!(
                        "no row fell into it, of {} in all; raise split.{}, or split by a column with more values than `{}`",
                        rows.iter().sum::<u64>(),
                        SPLIT_NAMES[train],
                        self.splitter.column()
                    ),
                },
            });
        }
        if rows[train] == null_label[train] {
            return Err(Error::LabelAllNull {
                column: self.label.column.clone(),
                rows: rows[train],
            });
        }
        Ok(())
    }

    /// The pass that a spec describes; `rebuild` rebuilds those of the features.
    pub(crate) fn from_spec(
        spec: &StepSpec,
        rebuild: impl Fn(&StepSpec) -> Result<Box<dyn Pass>>,
    ) -> Result<Self> {
        let ((label, sees_answers), inner) = spec.unnested()?;
        let [splitter, passes] = inner.as_slice() else {
            return Err(spec.bad("it does not hold a split and passes"));
        };
        Ok(Self {
            splitter: Splitter::from_spec(splitter)?,
            label,
            sees_answers,
            passes: Many::from_spec(passes, rebuild)?,
        })
    }
}

impl Pass for FitPass {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        self.splitter.check(schema)?;
        Label::check(self.label.kind, &self.label.column, schema)?;
        if let Some(weight) = &self.label.weight {
            Weigher::check(weight, schema)?;
        }
        let mut columns = self.passes.columns(schema)?;
        for column in self.splitter.columns() {
            if !columns.iter().any(|known| known == column) {
                columns.push(column.to_owned());
            }
        }
        Ok(columns)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Accumulator {
            splitter: self.splitter.clone(),
            label: self.label.clone(),
            rows: Rows::default(),
            sees_answers: self.sees_answers,
            inner: self.passes.start(),
        })
    }

    fn grain(&self) -> Grain {
        match self.passes.grain() {
            Grain::Rows(rows) => Grain::Rows(rows),
            // Rows are counted once, beside the results of all.
            Grain::Results(_) | Grain::Ordered => Grain::Ordered,
        }
    }

    fn spec(&self) -> StepSpec {
        StepSpec::nested(
            KIND,
            json!([self.label, self.sees_answers]),
            vec![self.splitter.spec(), self.passes.spec()],
        )
    }
}

/// Rows by split. The state is one row a split, `{rows, null_label}`.
#[derive(Default)]
pub(super) struct Rows {
    rows: [u64; 3],
    null_label: [u64; 3],
}

impl Rows {
    pub(super) fn from_state(state: &RecordBatch) -> Result<Self> {
        let three = |name| {
            let column: &UInt64Array = state_column(state, name, NAME)?;
            <[u64; 3]>::try_from(&column.values()[..])
                .map_err(|_| bad(format!("`{name}` is not three numbers")))
        };
        Ok(Self {
            rows: three("rows")?,
            null_label: three("null_label")?,
        })
    }

    fn state(&self) -> Result<RecordBatch> {
        Ok(RecordBatch::try_from_iter([
            ("rows", Arc::new(UInt64Array::from(self.rows.to_vec())) as _),
            (
                "null_label",
                Arc::new(UInt64Array::from(self.null_label.to_vec())) as _,
            ),
        ])?)
    }
}

struct Accumulator {
    splitter: Splitter,
    label: LabelSettings,
    rows: Rows,
    /// Whether a feature is fitted to label and fold.
    sees_answers: bool,
    inner: Box<dyn Accumulate>,
}

impl Accumulate for Accumulator {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let (splits, folds) = self.splitter.of_rows(batch)?;
        let labelled = Label::known(&self.label, batch)?;
        for (split, labelled) in splits.iter().zip(labelled.values()) {
            self.rows.rows[usize::from(*split)] += 1;
            self.rows.null_label[usize::from(*split)] += u64::from(!labelled);
        }
        let training = splits.iter().zip(labelled.values());
        let training: BooleanArray = training
            .map(|(split, labelled)| Some(Split::Train.is(*split) && labelled))
            .collect();
        let mut rows = filter_record_batch(batch, &training)?;
        if self.sees_answers {
            let label = Label::learnt(&self.label, &rows)?;
            let folds = filter(&UInt8Array::from(folds), &training)?;
            rows = Answers::beside(&rows, label, folds.as_primitive().clone())?;
        }
        self.inner.update(&rows)
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        let mut states = Many::states(state)?;
        if states.is_empty() {
            return Err(bad("it holds no states".to_owned()));
        }
        let other = Rows::from_state(&states.remove(0))?;
        for split in 0..SPLIT_NAMES.len() {
            self.rows.rows[split] += other.rows[split];
            self.rows.null_label[split] += other.null_label[split];
        }
        self.inner.merge(&Many::state_of(states)?)
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let mut states = vec![self.rows.state()?];
        states.extend(Many::states(&self.inner.state()?)?);
        Many::state_of(states)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.inner.size()
    }

    fn peak(&self) -> usize {
        size_of::<Self>() + self.inner.peak()
    }

    fn largest(&self) -> Share {
        self.inner.largest()
    }
}

fn bad(why: String) -> Error {
    Error::State { pass: NAME, why }
}
