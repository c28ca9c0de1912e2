//! The three forms of an export behind one interface.

use std::io::{self, Write};

use clap::ValueEnum;
use unmasq_flow::Flow;
use unmasq_flow::record::Record;

use super::columns::{COLUMNS, Cell};
use super::parquet::ParquetWriter;

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// Columns with types, compressed: for `DuckDB`, pandas, `ClickHouse`, Spark.
    Parquet,
    /// The same columns as text, with a header; times in RFC 3339.
    Csv,
    /// One JSON object a line, as `unmasq trace --json` prints flows.
    Json,
}

/// Writes flows in one of the forms.
pub(super) enum FlowWriter<W: Write + Send> {
    /// See [`Form::Parquet`].
    Parquet(Box<ParquetWriter<W>>),
    /// See [`Form::Csv`].
    Csv(Box<csv::Writer<W>>),
    /// See [`Form::Json`].
    Json(W),
}

impl<W: Write + Send> FlowWriter<W> {
    /// Writes what comes before the first flow.
    pub(super) fn new(form: Form, out: W) -> anyhow::Result<Self> {
        Ok(match form {
            Form::Parquet => Self::Parquet(Box::new(ParquetWriter::new(out)?)),
            Form::Csv => {
                let mut writer = csv::Writer::from_writer(out);
                writer.write_record(COLUMNS.iter().map(|column| column.name))?;
                Self::Csv(Box::new(writer))
            }
            Form::Json => Self::Json(out),
        })
    }

    /// Writes a flow.
    pub(super) fn write(&mut self, flow: &Flow) -> anyhow::Result<()> {
        match self {
            Self::Parquet(writer) => writer.write(flow),
            Self::Csv(writer) => {
                let mut text = String::new();
                for column in &COLUMNS {
                    text.clear();
                    match (column.cell)(flow, &mut text) {
                        Cell::Empty => writer.write_field("")?,
                        Cell::Text => writer.write_field(&text)?,
                        Cell::Time(time) => writer.write_field(time.to_string())?,
                        Cell::Number(number) => writer.write_field(number.to_string())?,
                    }
                }
                Ok(writer.write_record(None::<&[u8]>)?)
            }
            Self::Json(out) => {
                serde_json::to_writer(&mut *out, &Record::from(flow)).map_err(io::Error::from)?;
                Ok(out.write_all(b"\n")?)
            }
        }
    }

    /// Writes what comes after the last flow, and gives the output back.
    pub(super) fn finish(self) -> anyhow::Result<W> {
        match self {
            Self::Parquet(writer) => writer.finish(),
            Self::Csv(writer) => writer.into_inner().map_err(|error| error.into_error().into()),
            Self::Json(out) => Ok(out),
        }
    }
}
