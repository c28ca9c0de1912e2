//! A table of questions, read row by row and written back with more columns: CSV, or JSON lines.

use std::io::{self, BufRead, Read, Write};

use serde_json::{Map, Value};

use super::columns::{Columns, RowQuestion};

/// A row as it came, and what it asks.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) cells: Cells,
    pub(super) question: Result<RowQuestion, String>,
}

/// The row as it came.
#[derive(Debug)]
pub(super) enum Cells {
    Csv(csv::ByteRecord),
    Json(Map<String, Value>),
    /// A line that is no JSON object.
    Text(String),
}

/// A table that cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum TableError {
    #[error(
        "the first line names no column for the masked address; name one of them masked, ip or address (it reads {0:?})"
    )]
    NoMasked(String),
    #[error(
        "the first line names no column for the time; name one of them time, or give --at for all rows (it reads {0:?})"
    )]
    NoTime(String),
    #[error("cannot read the table: {0}")]
    Csv(#[from] csv::Error),
    #[error("cannot read the table: {0}")]
    Io(#[from] io::Error),
}

/// A table that is being read.
pub(super) enum Table<R: Read> {
    Csv { reader: csv::Reader<R>, columns: Columns, names: Vec<String>, delimiter: u8 },
    Json { lines: io::Lines<R>, number: u64 },
}

impl<R: BufRead> Table<R> {
    /// Finds out which kind of table it is, and which column is what.
    pub(super) fn open(mut input: R, has_default_time: bool) -> Result<Self, TableError> {
        let head = input.fill_buf()?;
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        if head.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{') {
            return Ok(Self::Json { lines: input.lines(), number: 0 });
        }
        let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
        let delimiter = delimiter(line);
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(input);
        let names: Vec<String> = reader
            .byte_headers()?
            .iter()
            .map(|name| String::from_utf8_lossy(name).trim_start_matches('\u{feff}').to_owned())
            .collect();
        let columns = Columns::new(names.iter().map(String::as_str));
        let shown = || names.join(char::from(delimiter).to_string().as_str()).chars().take(120).collect();
        if !columns.has_masked() {
            return Err(TableError::NoMasked(shown()));
        }
        if !columns.has_time() && !has_default_time {
            return Err(TableError::NoTime(shown()));
        }
        Ok(Self::Csv { reader, columns, names, delimiter })
    }

    /// The next row; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Row>, TableError> {
        match self {
            Self::Csv { reader, columns, .. } => {
                let mut record = csv::ByteRecord::new();
                if !reader.read_byte_record(&mut record)? {
                    return Ok(None);
                }
                let texts: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
                let question = columns.read(texts.iter().map(AsRef::as_ref));
                Ok(Some(Row { cells: Cells::Csv(record), question }))
            }
            Self::Json { lines, number } => loop {
                let Some(line) = lines.next().transpose()? else { return Ok(None) };
                *number += 1;
                let line = if *number == 1 { line.trim_start_matches('\u{feff}') } else { &line };
                if !line.trim().is_empty() {
                    return Ok(Some(json_row(line)));
                }
            },
        }
    }
}

/// The delimiter that the line with the names has most of.
fn delimiter(line: &[u8]) -> u8 {
    let count = |wanted: u8| line.split(|b| *b == wanted).count();
    let mut best = b',';
    for other in [b';', b'\t', b'|'] {
        if count(other) > count(best) {
            best = other;
        }
    }
    best
}

fn json_row(line: &str) -> Row {
    match serde_json::from_str::<Map<String, Value>>(line) {
        Ok(object) => {
            let columns = Columns::new(object.keys().map(String::as_str));
            let texts: Vec<String> = object
                .values()
                .map(|value| match value {
                    Value::String(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
                })
                .collect();
            let question = columns.read(texts.iter().map(String::as_str));
            Row { cells: Cells::Json(object), question }
        }
        Err(error) => Row {
            cells: Cells::Text(line.to_owned()),
            question: Err(format!("the line is no JSON object: {error}")),
        },
    }
}

/// The columns that are added, with the value of each: text for CSV, a JSON value for JSON lines.
pub(super) type Added = Vec<(&'static str, Value)>;

/// A table that is being written.
pub(super) enum Output<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Json { out: W, names: Vec<String> },
}

impl<W: Write> Output<W> {
    /// In the form of the table that is read, or in JSON lines if that is asked for.
    pub(super) fn new<R: Read>(
        out: W,
        table: &Table<R>,
        added: &[&'static str],
        is_json: bool,
    ) -> Result<Self, TableError> {
        let Table::Csv { names, delimiter, .. } = table else {
            return Ok(Self::Json { out, names: Vec::new() });
        };
        if is_json {
            return Ok(Self::Json { out, names: names.clone() });
        }
        let mut writer = csv::WriterBuilder::new().delimiter(*delimiter).flexible(true).from_writer(out);
        let own = added.iter().map(|name| free_name(name, |n| names.iter().any(|known| known == n)));
        writer.write_record(names.iter().cloned().chain(own))?;
        Ok(Self::Csv(Box::new(writer)))
    }

    /// Writes a row with what is added to it.
    pub(super) fn write(&mut self, cells: &Cells, added: &Added, width: usize) -> Result<(), TableError> {
        match self {
            Self::Csv(writer) => {
                if let Cells::Csv(record) = cells {
                    for field in record {
                        writer.write_field(field)?;
                    }
                    // A row that is too short would push its answer under the wrong names.
                    for _ in record.len()..width {
                        writer.write_field(b"")?;
                    }
                }
                for (_, value) in added {
                    writer.write_field(text(value))?;
                }
                writer.write_record(None::<&[u8]>)?;
            }
            Self::Json { out, names } => {
                let mut object = match cells {
                    Cells::Json(object) => object.clone(),
                    Cells::Text(line) => Map::from_iter([("line".to_owned(), Value::from(line.as_str()))]),
                    Cells::Csv(record) => names
                        .iter()
                        .zip(record)
                        .map(|(name, value)| (name.clone(), Value::from(String::from_utf8_lossy(value))))
                        .collect(),
                };
                for (name, value) in added {
                    let name = free_name(name, |n| object.contains_key(n));
                    object.insert(name, value.clone());
                }
                serde_json::to_writer(&mut *out, &object).map_err(io::Error::from)?;
                out.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    /// Writes what is still in memory.
    pub(super) fn flush(&mut self) -> Result<(), TableError> {
        match self {
            Self::Csv(writer) => writer.flush()?,
            Self::Json { out, .. } => out.flush()?,
        }
        Ok(())
    }
}

/// The name of an added column; `answer_…` if the table has one of that name.
fn free_name(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut free = name.to_owned();
    while is_taken(&free) {
        free.insert_str(0, "answer_");
    }
    free
}

/// A value in one cell: lists are parted by blanks.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(" "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}
