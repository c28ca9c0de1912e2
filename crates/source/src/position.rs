//! Places in a source: what is saved, so that reading goes on there after a restart.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use unmasq_entry::saved::SavedEntry;

/// Where to begin.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// With the oldest record there is.
    Head,
    /// With what is written from now on.
    Tail,
    /// After this place.
    At(Position),
}

/// The place after the last record that was given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Position {
    /// A source without places: a socket, a pipe.
    #[default]
    None,
    /// The journal's own name of an entry.
    Cursor(String),
    /// In a file, that may have another name by now.
    File(FilePosition),
    /// In each of several sources that are read as one.
    Merged(Vec<MemberPosition>),
    /// Before the first record of a source that had none yet.
    Beginning,
}

/// The place in one of the sources of a [`crate::Merge`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemberPosition {
    /// The name it was added under.
    pub name: String,
    /// After the last of its records that was given.
    pub place: Position,
    /// What was read after that and not given yet, where the source has no places to read it from again.
    pub held: Vec<SavedEntry>,
}

impl Position {
    /// The place in the member of that name, if this is the position of several sources and it was among them.
    pub fn member(&self, name: &str) -> Option<&MemberPosition> {
        match self {
            Self::Merged(members) => members.iter().find(|member| member.name == name),
            Self::None | Self::Cursor(_) | Self::File(_) | Self::Beginning => None,
        }
    }
}

/// A place in a file that is written on, renamed and emptied by others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition {
    /// The name that is followed; the file itself may be an older one by now.
    pub path: PathBuf,
    /// The device and the inode that hold the file.
    pub device: u64,
    /// See `device`.
    pub inode: u64,
    /// Hash of the first bytes: `min(offset, 256)` of them.
    pub head: u64,
    /// Bytes before the place.
    pub offset: u64,
    /// Lines before the place; 0: not known, as reading did not begin at the file's first one.
    pub line: u64,
    /// When the file was last written to, as far as it was read: nanoseconds since the Unix epoch.
    pub written: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no place"),
            Self::Beginning => f.write_str("the beginning"),
            Self::Cursor(cursor) => f.write_str(cursor),
            Self::File(FilePosition { line: 0, offset, .. }) => write!(f, "byte {offset}"),
            Self::File(place) => write!(f, "line {}", place.line),
            Self::Merged(members) => {
                for (number, member) in members.iter().enumerate() {
                    let comma = if number == 0 { "" } else { ", " };
                    write!(f, "{comma}{}: {}", member.name, member.place)?;
                }
                Ok(())
            }
        }
    }
}
