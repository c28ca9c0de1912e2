//! SSH's data types (RFC 4251, section 5).

/// Reads values from the front of some bytes; each method gives `None` if they are not there whole.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// From the front of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// So many bytes.
    pub fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(front)
    }

    /// `byte`.
    pub fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    /// `boolean`: whatever is not 0 is true.
    pub fn boolean(&mut self) -> Option<bool> {
        self.byte().map(|byte| byte != 0)
    }

    /// `uint32`.
    pub fn u32(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// `string`, and what is written as one: `name-list`, `mpint`.
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let mut ahead = self.clone();
        let length = usize::try_from(ahead.u32()?).ok()?;
        let bytes = ahead.bytes(length)?;
        *self = ahead;
        Some(bytes)
    }
}

/// Writes values at the end of some bytes.
pub trait Write {
    /// `boolean`.
    fn put_boolean(&mut self, value: bool);
    /// `uint32`.
    fn put_u32(&mut self, value: u32);
    /// `string`. Longer ones than 4 GiB cannot be written, and are never made here.
    fn put_string(&mut self, value: &[u8]);
    /// `mpint` of a number that is not negative, given as big-endian bytes.
    fn put_mpint(&mut self, magnitude: &[u8]);
}

impl Write for Vec<u8> {
    fn put_boolean(&mut self, value: bool) {
        self.push(u8::from(value));
    }

    fn put_u32(&mut self, value: u32) {
        self.extend(value.to_be_bytes());
    }

    fn put_string(&mut self, value: &[u8]) {
        self.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.extend(value);
    }

    fn put_mpint(&mut self, magnitude: &[u8]) {
        let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
        let magnitude = &magnitude[zeros..];
        let is_signed = magnitude.first().is_some_and(|byte| byte & 0x80 != 0);
        self.put_u32(u32::try_from(magnitude.len() + usize::from(is_signed)).unwrap_or(u32::MAX));
        if is_signed {
            self.push(0);
        }
        self.extend(magnitude);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mpints_are_those_of_the_rfc() {
        // RFC 4251, section 5.
        let written = |magnitude: &[u8]| {
            let mut bytes = Vec::new();
            bytes.put_mpint(magnitude);
            bytes
        };
        assert_eq!(written(&[0]), [0, 0, 0, 0]);
        assert_eq!(written(&[0x80]), [0, 0, 0, 2, 0, 0x80]);
        assert_eq!(
            written(&[0, 0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7]),
            [0, 0, 0, 8, 0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7]
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in prop::collection::vec(any::<u8>(), 0..64), number: u32, flag: bool) {
            let mut bytes = Vec::new();
            bytes.put_string(&text);
            bytes.put_u32(number);
            bytes.put_boolean(flag);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.string(), Some(&text[..]));
            prop_assert_eq!(reader.u32(), Some(number));
            prop_assert_eq!(reader.boolean(), Some(flag));
            prop_assert!(reader.rest().is_empty());
        }

        #[test]
        fn what_is_cut_off_is_not_there(text in prop::collection::vec(any::<u8>(), 1..64), cut in 0usize..64) {
            let mut bytes = Vec::new();
            bytes.put_string(&text);
            let cut = cut % bytes.len();
            let mut reader = Reader::new(&bytes[..cut]);
            prop_assert_eq!(reader.string(), None);
            prop_assert_eq!(reader.rest().len(), cut);
        }
    }
}
