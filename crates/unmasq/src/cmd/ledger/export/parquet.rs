//! Flows into Parquet, by the low-level column writers: no Arrow, one row group of flows in memory at a time.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use unmasq_flow::Flow;

use super::columns::{COLUMNS, Cell, Column, Kind};

/// Flows in a row group. Some 200 bytes each are kept until it is full.
const ROW_GROUP: usize = 128 * 1024;

/// Writes Parquet.
pub(super) struct ParquetWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    flows: Vec<Flow>,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Writes the file's head.
    pub(super) fn new(out: W) -> anyhow::Result<Self> {
        let fields: String = COLUMNS.iter().map(field).collect();
        let schema = parse_message_type(&format!("message flow {{\n{fields}}}"))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("unmasq ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let file = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))?;
        Ok(Self { file, flows: Vec::new() })
    }

    /// Adds a flow.
    pub(super) fn write(&mut self, flow: &Flow) -> anyhow::Result<()> {
        self.flows.push(flow.clone());
        if self.flows.len() >= ROW_GROUP { self.write_row_group() } else { Ok(()) }
    }

    /// Writes what is left, and the file's foot.
    pub(super) fn finish(mut self) -> anyhow::Result<W> {
        if !self.flows.is_empty() {
            self.write_row_group()?;
        }
        self.file.into_inner().context("cannot finish the Parquet file")
    }

    fn write_row_group(&mut self) -> anyhow::Result<()> {
        let mut group = self.file.next_row_group()?;
        for column in &COLUMNS {
            let mut writer =
                group.next_column()?.ok_or_else(|| anyhow!("the schema has no column {}", column.name))?;
            write_column(column, &self.flows, writer.untyped())?;
            writer.close()?;
        }
        group.close()?;
        self.flows.clear();
        Ok(())
    }
}

fn field(column: &Column) -> String {
    let (physical, logical) = match column.kind {
        Kind::Time => ("INT64", "TIMESTAMP(MICROS,true)"),
        Kind::Text => ("BYTE_ARRAY", "STRING"),
        Kind::U16 => ("INT32", "INTEGER(16,false)"),
        Kind::U32 => ("INT32", "INTEGER(32,false)"),
        Kind::U64 => ("INT64", "INTEGER(64,false)"),
    };
    format!("  OPTIONAL {physical} {} ({logical});\n", column.name)
}

fn write_column(column: &Column, flows: &[Flow], writer: &mut ColumnWriter<'_>) -> anyhow::Result<()> {
    let mut text = String::new();
    let mut levels = Vec::with_capacity(flows.len());
    // Each kind of column has one physical type, which the schema above gives it.
    match writer {
        ColumnWriter::Int64ColumnWriter(writer) => {
            let cells = flows.iter().filter_map(|flow| {
                let value = match (column.cell)(flow, &mut text) {
                    Cell::Time(time) => Some(time.as_nanos().div_euclid(1000)),
                    Cell::Number(number) => Some(number.cast_signed()),
                    Cell::Empty | Cell::Text => None,
                };
                levels.push(i16::from(value.is_some()));
                value
            });
            let values: Vec<i64> = cells.collect();
            writer.write_batch(&values, Some(&levels), None)?;
        }
        ColumnWriter::Int32ColumnWriter(writer) => {
            let cells = flows.iter().filter_map(|flow| {
                let value = match (column.cell)(flow, &mut text) {
                    // The logical type says that the bits are those of an unsigned number.
                    Cell::Number(number) => Some((number as u32).cast_signed()),
                    Cell::Empty | Cell::Text | Cell::Time(_) => None,
                };
                levels.push(i16::from(value.is_some()));
                value
            });
            let values: Vec<i32> = cells.collect();
            writer.write_batch(&values, Some(&levels), None)?;
        }
        ColumnWriter::ByteArrayColumnWriter(writer) => {
            let cells = flows.iter().filter_map(|flow| {
                text.clear();
                let is_there = (column.cell)(flow, &mut text) == Cell::Text;
                levels.push(i16::from(is_there));
                is_there.then(|| ByteArray::from(text.as_str()))
            });
            let values: Vec<ByteArray> = cells.collect();
            writer.write_batch(&values, Some(&levels), None)?;
        }
        _ => return Err(anyhow!("column {} has a type that is not written", column.name)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_what_parquet_takes() {
        let fields: String = COLUMNS.iter().map(field).collect();
        let schema = parse_message_type(&format!("message flow {{\n{fields}}}")).unwrap();
        assert_eq!(schema.get_fields().len(), COLUMNS.len());
    }
}
