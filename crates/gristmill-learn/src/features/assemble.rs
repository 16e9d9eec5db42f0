//! Joins the encoders, the label and the split into the rows that a model learns from.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, ListArray, RecordBatch, UInt8Array, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{filter, filter_record_batch, is_not_null};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use serde_json::json;

use crate::contract::encoder::Encoder;
use crate::contract::registry::Registry;
use crate::contract::step::{LeftOut, SparseBlock, StepSpec, Transformed, Transformer};
use crate::error::{Error, Result};
use crate::features::split::Splitter;
use crate::label::{Label, Weigher};
use crate::rows::{Split, WEIGHT};
use crate::statistics::column::find;

/// The version of the feature rows. Raise it when their columns change, or when the same fitted state makes other features of
/// the same row: what an earlier version transformed is then transformed again.
pub const FEATURES_FORMAT: u32 = 5;

/// The kind of the spec of an [`Assembler`].
pub const KIND: &str = "features";

/// Turns dataset rows into feature rows.
///
/// Transformed, a batch has the columns `label: Int32` (-1 for a class that training never saw; of a regression `Float64`), `indices: List<UInt32>`, `values: List<Float32>`, `split: UInt8`
/// (an index into [`crate::features::split::SPLIT_NAMES`]), `fold: UInt8`, `entity` with the type of the entity's column, and where
/// rows have weights `weight: Float64`. Rows with no label, a rare label or a category that `unseen = "skip"` leaves out are not in it.
pub struct Assembler {
    encoders: Vec<Box<dyn Encoder>>,
    /// Where the columns of each encoder start.
    starts: Vec<u32>,
    width: u32,
    label: Label,
    splitter: Splitter,
    weigher: Option<Weigher>,
}

impl Assembler {
    /// Joins fitted parts; the columns of the encoders follow each other in this order.
    pub fn new(encoders: Vec<Box<dyn Encoder>>, label: Label, splitter: Splitter) -> Self {
        let mut width = 0;
        let mut starts = Vec::with_capacity(encoders.len());
        for encoder in &encoders {
            starts.push(width);
            width += encoder.width();
        }
        Self {
            encoders,
            starts,
            width,
            label,
            splitter,
            weigher: None,
        }
    }

    /// The same, whose rows have weights. Prediction needs none, so [`Assembler::specs`] does not tell of them.
    pub fn with_weights(self, weigher: Option<Weigher>) -> Self {
        Self { weigher, ..self }
    }

    /// The assembler that [`Assembler::specs`] described, whose encoders are of these kinds.
    ///
    /// # Errors
    /// `Spec` when they describe none.
    pub fn from_specs(specs: &[StepSpec], kinds: &Registry) -> Result<Self> {
        let [encoders @ .., label, split] = specs else {
            return Err(Error::Spec {
                kind: "features".to_owned(),
                why: format!("{} steps are too few for a label and a split", specs.len()),
            });
        };
        let encoders: Vec<_> = encoders
            .iter()
            .map(|spec| kinds.encoder_from_spec(spec))
            .collect::<Result<_>>()?;
        let width: u64 = encoders.iter().map(|encoder| u64::from(encoder.width())).sum();
        if width > u64::from(u32::MAX) {
            return Err(Error::Spec {
                kind: "features".to_owned(),
                why: format!(
                    "the steps have {width} sparse columns together, and may have {}",
                    u32::MAX
                ),
            });
        }
        Ok(Self::new(
            encoders,
            Label::from_spec(label)?,
            Splitter::from_spec(split)?,
        ))
    }

    /// The assembler that [`Transformer::spec`] described, whose encoders are of these kinds.
    ///
    /// # Errors
    /// `Spec` when it describes none.
    pub fn from_spec(spec: &StepSpec, kinds: &Registry) -> Result<Self> {
        let (weighed, mut specs): (bool, _) = spec.unnested()?;
        let weigher = if weighed { specs.pop() } else { None };
        let weigher = weigher.as_ref().map(Weigher::from_spec).transpose()?;
        Ok(Self::from_specs(&specs, kinds)?.with_weights(weigher))
    }

    /// What prediction needs of it: each encoder, then the label, then the split.
    pub fn specs(&self) -> Vec<StepSpec> {
        let encoders = self.encoders.iter().map(|encoder| encoder.spec());
        encoders
            .chain([self.label.spec(), self.splitter.spec()])
            .collect()
    }

    /// How many sparse columns a row has.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let encoders: usize = self.encoders.iter().map(|encoder| encoder.bytes()).sum();
        encoders + self.label.bytes()
    }

    /// The name of sparse column `index < width`.
    pub fn feature_name(&self, index: u32) -> String {
        let encoder = self.starts.partition_point(|start| *start <= index) - 1;
        self.encoders[encoder].name(index - self.starts[encoder])
    }

    /// The encoders, in the order of their columns.
    pub fn encoders(&self) -> &[Box<dyn Encoder>] {
        &self.encoders
    }

    /// Of each encoder, the sparse columns of [`Encoder::seen`].
    pub fn seen(&self) -> Vec<Option<Range<u32>>> {
        let encoders = self.encoders.iter().zip(&self.starts);
        encoders
            .map(|(encoder, start)| encoder.seen().map(|seen| start + seen.start..start + seen.end))
            .collect()
    }

    /// The label.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// The names of the classes, by number; none of a regression.
    pub fn classes(&self) -> &[String] {
        self.label.classes()
    }

    /// Checks the columns that [`Assembler::encode`] reads.
    pub fn check_features(&self, schema: &Schema) -> Result<()> {
        self.encoders.iter().try_for_each(|encoder| encoder.check(schema))
    }

    /// Encodes the features of every row, for prediction: neither label nor entity is read, no row is left out.
    pub fn encode(&self, batch: &RecordBatch) -> Result<SparseBlock> {
        let blocks = self.encoders.iter().map(|encoder| encoder.encode(batch));
        Ok(self.side_by_side(blocks.collect::<Result<_>>()?, batch.num_rows()))
    }

    /// Encodes the features of rows to learn from, whose splits and folds these are.
    fn encode_to_learn(&self, batch: &RecordBatch, splits: &[u8], folds: &[u8]) -> Result<SparseBlock> {
        let seen = splits.iter().zip(folds);
        let folds: Vec<Option<u8>> = seen
            .map(|(split, fold)| Split::Train.is(*split).then_some(*fold))
            .collect();
        let blocks = self
            .encoders
            .iter()
            .map(|encoder| encoder.encode_to_learn(batch, &folds));
        Ok(self.side_by_side(blocks.collect::<Result<_>>()?, batch.num_rows()))
    }

    /// The blocks of the encoders as one.
    fn side_by_side(&self, mut blocks: Vec<SparseBlock>, rows: usize) -> SparseBlock {
        if blocks.len() == 1 {
            return blocks.swap_remove(0);
        }
        let mut all = SparseBlock::with_capacity(rows);
        let entries = blocks.iter().map(|block| block.indices.len()).sum();
        all.indices.reserve(entries);
        all.values.reserve(entries);
        for row in 0..rows {
            for (block, start) in blocks.iter().zip(&self.starts) {
                let (indices, values) = block.row(row);
                all.indices.extend(indices.iter().map(|index| start + index));
                all.values.extend_from_slice(values);
            }
            all.end_row();
        }
        for block in blocks.iter().filter(|block| !block.skip.is_empty()) {
            all.skip.resize(rows, false);
            all.skip
                .iter_mut()
                .zip(&block.skip)
                .for_each(|(all, skip)| *all |= skip);
        }
        all
    }

    /// Only the columns that are read: filtering costs by column.
    fn project(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let schema = batch.schema_ref();
        let columns: Result<Vec<usize>, _> = self
            .columns(schema)?
            .iter()
            .map(|column| schema.index_of(column))
            .collect();
        Ok(batch.project(&columns?)?)
    }
}

impl Transformer for Assembler {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        self.splitter.check(schema)?;
        Label::check(self.label.kind(), self.label.column(), schema)?;
        self.check_features(schema)?;
        let mut columns: Vec<String> = self.splitter.columns().map(str::to_owned).collect();
        let inputs: Vec<_> = self.encoders.iter().map(|encoder| encoder.inputs()).collect();
        let others = inputs.iter().flatten().map(|input| input.column);
        let weight = self.weigher.as_ref().and_then(Weigher::column);
        if let Some(column) = weight {
            Weigher::check(column, schema)?;
        }
        for column in others.chain([self.label.column()]).chain(weight) {
            if !columns.iter().any(|known| known == column) {
                columns.push(column.to_owned());
            }
        }
        Ok(columns)
    }

    fn output_schema(&self, input: &Schema) -> Result<SchemaRef> {
        let by = self.splitter.column();
        let entity = input
            .field_with_name(by)
            .map_err(|_| Error::missing_column(by, input))?;
        let list = |item| DataType::List(Arc::new(Field::new_list_field(item, false)));
        let mut fields = vec![
            Field::new("label", self.label.data_type(), false),
            Field::new("indices", list(DataType::UInt32), false),
            Field::new("values", list(DataType::Float32), false),
            Field::new("split", DataType::UInt8, false),
            Field::new("fold", DataType::UInt8, false),
            Field::new("entity", entity.data_type().clone(), true),
        ];
        if self.weigher.is_some() {
            fields.push(Field::new(WEIGHT, DataType::Float64, false));
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    fn transform(&self, batch: &RecordBatch) -> Result<Transformed> {
        let (labels, null_label) = self.label.values(batch)?;
        let mut left_out = LeftOut {
            null_label,
            rare_label: labels.null_count() as u64 - null_label,
            unseen: 0,
        };
        let labelled = is_not_null(&labels)?;
        let labels = filter(&labels, &labelled)?;
        let batch = filter_record_batch(&self.project(batch)?, &labelled)?;
        let weights = match &self.weigher {
            None => None,
            Some(weigher) => Some(Arc::new(weigher.weights(&batch, labels.as_primitive_opt())?) as ArrayRef),
        };

        let entity = find(&batch, self.splitter.column())?;
        let (splits, folds) = self.splitter.of_rows(&batch)?;
        let block = self.encode_to_learn(&batch, &splits, &folds)?;
        let skip = block.skip;
        let offsets: Result<Vec<i32>, _> = block.offsets.into_iter().map(i32::try_from).collect();
        let too_many = |_| ArrowError::OffsetOverflowError(block.indices.len());
        let offsets = OffsetBuffer::new(offsets.map_err(too_many)?.into());
        let mut columns = vec![
            labels,
            list(
                DataType::UInt32,
                offsets.clone(),
                Arc::new(UInt32Array::from(block.indices)),
            )?,
            list(
                DataType::Float32,
                offsets,
                Arc::new(Float32Array::from(block.values)),
            )?,
            Arc::new(UInt8Array::from(splits)),
            Arc::new(UInt8Array::from(folds)),
            entity.clone(),
        ];
        columns.extend(weights);
        let rows = RecordBatch::try_new(self.output_schema(batch.schema_ref())?, columns)?;
        if skip.is_empty() {
            return Ok(Transformed { rows, left_out });
        }
        let kept: BooleanArray = skip.iter().map(|skip| Some(!skip)).collect();
        left_out.unseen = kept.false_count() as u64;
        Ok(Transformed {
            rows: filter_record_batch(&rows, &kept)?,
            left_out,
        })
    }

    fn spec(&self) -> StepSpec {
        let mut specs = self.specs();
        specs.extend(self.weigher.as_ref().map(Weigher::spec));
        StepSpec::nested(KIND, json!(self.weigher.is_some()), specs)
    }
}

fn list(item: DataType, offsets: OffsetBuffer<i32>, values: ArrayRef) -> Result<ArrayRef> {
    let item = Arc::new(Field::new_list_field(item, false));
    Ok(Arc::new(ListArray::try_new(item, offsets, values, None)?))
}
