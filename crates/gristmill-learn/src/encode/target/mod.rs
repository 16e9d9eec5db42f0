//! Categories by the labels of the rows that have them, fitted out of fold so that no row is told its own.

pub(crate) mod counts;

use std::collections::HashMap;
use std::ops::RangeInclusive;

use arrow::array::{Array, Float64Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::contract::encoder::{Encoder, EncoderKind, Estimator, Feature, FittedTo, Input, Negative};
use crate::contract::pass::Pass;
use crate::contract::reads::Reads;
use crate::contract::spec::read_settings;
use crate::contract::step::{SparseBlock, StepSpec};
use crate::encode::target::counts::{Sum, TargetPass};
use crate::error::{Error, Result};
use crate::settings::{Key, Numbers, Preset, Values, one_or_many};
use crate::statistics::column::together;
use crate::statistics::{allocated, map_bytes};

const KIND: &str = "target";

/// Columns at most.
const MOST_COLUMNS: usize = 8;

/// `encode = "target"`.
pub(super) struct Target;

impl EncoderKind for Target {
    fn name(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "A category becomes what its training rows have as label: of a regression the mean `s / n` of its `n` rows, of a classifier\n\
         the share of each class (with two classes, of the less frequent one), minus the mean `p` of all rows and shrunk towards it,\n\
         `(s - n·p) / (n + smooth)`: scikit-learn's `TargetEncoder` minus `p` (Micci-Barreca, 2001). Null is a category; what was not\n\
         seen in training is 0. A training row is encoded by the rows of the other folds of `[search]`, so that nothing it is told comes\n\
         from its own label; all other rows by all training rows. The folds are also those that the search holds out, and a row\n\
         that learns has seen the labels of the held-out fold in this column, so that the scores of the search, though not those of the\n\
         validation and the test split, are a little too good. Reads what casts to text; of several columns the combination of their\n\
         values."
    }

    fn keys(&self) -> &'static [Key] {
        &[Key {
            name: "smooth",
            values: Values::Number(Numbers::NotNegative),
            default: Preset::Number(10.0),
            doc: "Rows that the mean of all rows counts for.",
        }]
    }

    fn columns(&self) -> RangeInclusive<usize> {
        1..=MOST_COLUMNS
    }

    fn feature(&self, settings: Value) -> Result<Feature> {
        read_settings::<TargetSettings>(KIND, settings).map(Feature::new)
    }

    fn rebuild(&self, spec: &StepSpec) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(TargetEncoder::from_spec(spec)?))
    }
}

/// Settings of `encode = "target"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetSettings {
    /// The columns, of which the values of a row are one category: anything that casts to text.
    #[serde(rename = "column", deserialize_with = "one_or_many")]
    pub columns: Vec<String>,
    /// Rows that the mean of all rows counts for, 0 or more. Default 10.
    pub smooth: f64,
}

/// A category becomes what its rows have as label, beyond what all rows have.
#[derive(Debug, Clone)]
pub struct TargetEncoder {
    columns: Vec<String>,
    smooth: f64,
    folds: u32,
    /// Of a classifier, in their order; none of a regression.
    classes: Vec<String>,
    /// Their texts; that of null is empty.
    categories: Vec<String>,
    /// Where null is among the categories.
    null: Option<u32>,
    index: HashMap<String, u32>,
    /// Where the cells of each category start, and where those of the last one end.
    starts: Vec<u32>,
    cells: Vec<Cell>,
    /// Of each fold, its cells of all categories together.
    all: Vec<Totals>,
}

/// The rows of a category in a fold that have a class.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    /// Fold × outputs + output.
    place: u32,
    sum: Sum,
}

/// Rows, and the sum of each output.
#[derive(Debug, Clone, PartialEq)]
struct Totals {
    rows: u64,
    sums: Vec<f64>,
}

impl Estimator for TargetSettings {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn settings(&self) -> Value {
        json!(self)
    }

    fn negative(&self) -> Option<Negative> {
        Some(Negative {
            setting: "encode = \"target\"",
            effect: "the share of the class minus that of all rows",
            instead: "encode = \"one_hot\" or \"hash\"",
        })
    }

    fn sees_answers(&self) -> bool {
        true
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(TargetPass::new(&self.columns))
    }

    fn fitted(&self, state: &RecordBatch, to: &FittedTo<'_>) -> Result<Box<dyn Encoder>> {
        let outputs = to.classes.len().max(1) as u32;
        let classes: HashMap<&str, u32> = to.classes.iter().map(String::as_str).zip(0..).collect();
        let (mut categories, mut null) = (Vec::new(), None);
        let (mut starts, mut cells) = (vec![0], Vec::<Cell>::new());
        let mut category_before: Option<Option<String>> = None;
        for ((category, fold, class), sum) in TargetPass::sums(state)? {
            let output = match class.as_deref() {
                None => Some(0),
                Some(class) => classes.get(class).or_else(|| classes.get(to.rare?)).copied(),
            };
            // A row of a rare class that is left out says nothing.
            let Some(output) = output else { continue };
            if category_before.as_ref() != Some(&category) {
                if category.is_none() {
                    null = Some(categories.len() as u32);
                }
                categories.push(category.clone().unwrap_or_default());
                category_before = Some(category);
                starts.push(cells.len() as u32);
            }
            let place = u32::from(fold) * outputs + output;
            let start = starts[starts.len() - 2] as usize;
            // Rare classes share a place.
            match cells[start..].iter_mut().find(|cell| cell.place == place) {
                Some(cell) => {
                    cell.sum.rows += sum.rows;
                    cell.sum.sum += sum.sum;
                }
                None => cells.push(Cell { place, sum }),
            }
            if let Some(end) = starts.last_mut() {
                *end = cells.len() as u32;
            }
        }
        let encoder = TargetEncoder::new(
            self,
            to.folds.max(1),
            to.classes.to_vec(),
            categories,
            null,
            starts,
            cells,
        );
        let encoder = encoder.ok_or_else(|| Error::State {
            pass: "target",
            why: "a fold is beyond those that there are, or a category is there twice".to_owned(),
        })?;
        Ok(Box::new(encoder))
    }
}

impl TargetEncoder {
    fn from_spec(spec: &StepSpec) -> Result<Self> {
        #[derive(Deserialize)]
        struct Small {
            #[serde(rename = "column", deserialize_with = "one_or_many")]
            columns: Vec<String>,
            folds: u32,
            null: Option<u32>,
            classifies: bool,
        }
        let Small {
            columns,
            folds,
            null,
            classifies,
        } = spec.settings()?;
        let &[smooth] = &spec.array::<Float64Array>("smooth")?.values()[..] else {
            return Err(spec.bad("`smooth` is not one number"));
        };
        let counts = (1..=256).contains(&folds) && (1..=MOST_COLUMNS).contains(&columns.len());
        if !counts || !smooth.is_finite() || smooth < 0.0 {
            return Err(spec.bad("its columns, folds or smooth are out of bounds"));
        }
        let settings = TargetSettings { columns, smooth };
        let texts = |name| -> Result<Vec<String>> {
            let texts: &StringArray = spec.array(name)?;
            Ok(texts.iter().flatten().map(str::to_owned).collect())
        };
        let classes = if classifies { texts("classes")? } else { Vec::new() };
        let distinct: std::collections::HashSet<_> = classes.iter().collect();
        if classifies && (classes.len() < 2 || distinct.len() != classes.len()) {
            return Err(spec.bad("`classes` does not hold two or more distinct classes"));
        }
        let places: &UInt32Array = spec.array("places")?;
        let (rows, sums): (&UInt64Array, &Float64Array) = (spec.array("rows")?, spec.array("sums")?);
        if places.len() != rows.len() || places.len() != sums.len() {
            return Err(spec.bad("`places`, `rows` and `sums` differ in length"));
        }
        let cells = places.values().iter().zip(rows.values()).zip(sums.values());
        let cells: Vec<Cell> = cells
            .map(|((place, rows), sum)| Cell {
                place: *place,
                sum: Sum {
                    rows: *rows,
                    sum: *sum,
                },
            })
            .collect();
        if cells
            .iter()
            .any(|cell| !cell.sum.sum.is_finite() || cell.sum.rows > 1 << 48)
        {
            return Err(spec.bad("`rows` or `sums` are out of bounds"));
        }
        let starts = spec.array::<UInt32Array>("starts")?.values().to_vec();
        Self::new(
            &settings,
            folds,
            classes,
            texts("categories")?,
            null,
            starts,
            cells,
        )
        .ok_or_else(|| spec.bad("its categories and cells do not fit each other"))
    }

    /// `None` where these do not fit each other.
    fn new(
        settings: &TargetSettings,
        folds: u32,
        classes: Vec<String>,
        categories: Vec<String>,
        null: Option<u32>,
        starts: Vec<u32>,
        cells: Vec<Cell>,
    ) -> Option<Self> {
        let outputs = classes.len().max(1);
        let whole = starts.first() == Some(&0)
            && starts.last().is_some_and(|end| *end as usize == cells.len())
            && starts.len() == categories.len() + 1
            && starts.windows(2).all(|pair| pair[0] <= pair[1])
            && null.is_none_or(|null| (null as usize) < categories.len());
        if !whole {
            return None;
        }
        let mut all = vec![
            Totals {
                rows: 0,
                sums: vec![0.0; outputs],
            };
            folds as usize
        ];
        for cell in &cells {
            all.get_mut(cell.place as usize / outputs)?.add(cell, outputs);
        }
        let known = categories
            .iter()
            .zip(0..)
            .filter(|(_, place)| Some(*place) != null);
        let index: HashMap<String, u32> = known.map(|(text, place)| (text.clone(), place)).collect();
        (index.len() + usize::from(null.is_some()) == categories.len()).then(|| Self {
            columns: settings.columns.clone(),
            smooth: settings.smooth,
            folds,
            classes,
            categories,
            null,
            index,
            starts,
            cells,
            all,
        })
    }

    fn outputs(&self) -> usize {
        self.classes.len().max(1)
    }

    /// Sums over the folds but one.
    fn total(&self, without: Option<u8>) -> Totals {
        let mut total = Totals {
            rows: 0,
            sums: vec![0.0; self.outputs()],
        };
        let folds = self.all.iter().zip(0..=u8::MAX);
        for (fold, _) in folds.filter(|(_, fold)| Some(*fold) != without) {
            total.rows += fold.rows;
            total.sums.iter_mut().zip(&fold.sums).for_each(|(a, b)| *a += b);
        }
        total
    }

    /// Encodes rows, each without its fold.
    fn encoded(&self, batch: &RecordBatch, folds: &[Option<u8>]) -> Result<SparseBlock> {
        let outputs = self.outputs();
        let first = if outputs == 2 { 1 } else { 0 };
        let mut totals: HashMap<Option<u8>, Totals> = HashMap::new();
        let values = together(batch, &self.columns, KIND)?;
        let mut block = SparseBlock::with_capacity(values.len());
        let mut own = Totals {
            rows: 0,
            sums: vec![0.0; outputs],
        };
        for (row, value) in values.iter().enumerate() {
            let category = match value {
                Some(value) => self.index.get(value).copied(),
                None => self.null,
            };
            if let Some(category) = category {
                let fold = folds.get(row).copied().flatten();
                let all = totals.entry(fold).or_insert_with(|| self.total(fold));
                own.rows = 0;
                own.sums.fill(0.0);
                let cells =
                    self.starts[category as usize] as usize..self.starts[category as usize + 1] as usize;
                for cell in &self.cells[cells] {
                    if Some(cell.place as usize / outputs) != fold.map(usize::from) {
                        own.add(cell, outputs);
                    }
                }
                if own.rows > 0 {
                    let rows = own.rows as f64;
                    for (index, (sum, of_all)) in own.sums.iter().zip(&all.sums).enumerate().skip(first) {
                        let beyond = sum - rows * (of_all / all.rows as f64);
                        let value = (beyond / (rows + self.smooth)) as f32;
                        if !value.is_finite() {
                            return Err(Error::NotFinite {
                                column: self.columns.join(", "),
                                step: KIND.to_owned(),
                                value: beyond,
                            });
                        }
                        if value != 0.0 {
                            block.push((index - first) as u32, value);
                        }
                    }
                }
            }
            block.end_row();
        }
        Ok(block)
    }
}

impl Totals {
    fn add(&mut self, cell: &Cell, outputs: usize) {
        self.rows += cell.sum.rows;
        self.sums[cell.place as usize % outputs] += cell.sum.sum;
    }
}

impl Encoder for TargetEncoder {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn spec(&self) -> StepSpec {
        let settings = json!({
            "column": self.columns,
            "folds": self.folds,
            "null": self.null,
            "classifies": !self.classes.is_empty(),
        });
        let cells = || self.cells.iter();
        let spec = StepSpec::new(KIND, settings)
            .with("smooth", Float64Array::from(vec![self.smooth]))
            .with("categories", StringArray::from_iter_values(&self.categories))
            .with("starts", UInt32Array::from(self.starts.clone()))
            .with(
                "places",
                UInt32Array::from_iter_values(cells().map(|cell| cell.place)),
            )
            .with(
                "rows",
                UInt64Array::from_iter_values(cells().map(|cell| cell.sum.rows)),
            )
            .with(
                "sums",
                Float64Array::from_iter_values(cells().map(|cell| cell.sum.sum)),
            );
        if self.classes.is_empty() {
            return spec;
        }
        spec.with("classes", StringArray::from_iter_values(&self.classes))
    }

    fn inputs(&self) -> Vec<Input<'_>> {
        let input = |column| Input {
            column,
            reads: Reads::Category,
        };
        self.columns.iter().map(String::as_str).map(input).collect()
    }

    fn width(&self) -> u32 {
        match self.outputs() {
            2 => 1,
            outputs => outputs as u32,
        }
    }

    fn bytes(&self) -> usize {
        let texts = self.categories.iter().map(|text| allocated(text.len()));
        let classes = self.classes.iter().map(|text| allocated(text.len()));
        2 * texts.sum::<usize>()
            + classes.sum::<usize>()
            + map_bytes::<String, u32>(self.index.capacity())
            + size_of_val(self.categories.as_slice())
            + size_of_val(self.starts.as_slice())
            + size_of_val(self.cells.as_slice())
            + self.all.len() * self.outputs() * size_of::<f64>()
    }

    fn name(&self, index: u32) -> String {
        let columns = self.columns.join("×");
        let first = usize::from(self.outputs() == 2);
        match self.classes.get(index as usize + first) {
            Some(class) => format!("target({columns})={class}"),
            None => format!("target({columns})"),
        }
    }

    fn meaning(&self) -> Value {
        json!({"column": self.columns})
    }

    fn uninformative(&self) -> Option<&'static str> {
        (self.categories.len() < 2).then_some("all training rows have the same value in it")
    }

    fn encode(&self, batch: &RecordBatch) -> Result<SparseBlock> {
        self.encoded(batch, &[])
    }

    fn encode_to_learn(&self, batch: &RecordBatch, folds: &[Option<u8>]) -> Result<SparseBlock> {
        self.encoded(batch, folds)
    }
}
