//! A [`Picture`] as PNG (RFC 2083): rectangles, and letters of the fonts in `font/`.

use std::io::{self, Write as _};
use std::sync::LazyLock;

use ab_glyph::{Font as _, FontRef, Glyph, PxScale, ScaleFont as _, point};
use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::picture::{Anchor, Face, Picture, Shape};

static SANS: &[u8] = include_bytes!("font/sans.ttf");
static BOLD: &[u8] = include_bytes!("font/bold.ttf");
static MONO: &[u8] = include_bytes!("font/mono.ttf");

static FONTS: LazyLock<Option<Fonts>> = LazyLock::new(|| {
    let font = |bytes| FontRef::try_from_slice(bytes).ok();
    Some(Fonts { sans: font(SANS)?, bold: font(BOLD)?, mono: font(MONO)? })
});

struct Fonts {
    sans: FontRef<'static>,
    bold: FontRef<'static>,
    mono: FontRef<'static>,
}

/// A picture could not be made into a PNG file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PngError {
    /// The fonts within the program are damaged.
    #[error("the fonts of this program are damaged; install it anew")]
    Fonts,
    /// More pixels than are drawn.
    #[error(
        "a picture of {0} by {1} pixels is too large; ask for fewer rows with --top or fewer sections with --by"
    )]
    TooLarge(u32, u32),
    /// It could not be compressed.
    #[error("cannot compress a picture: {0}")]
    Compression(#[from] io::Error),
}

/// Most pixels of a picture; each takes three bytes of memory.
const MOST_PIXELS: u64 = 40_000_000;

/// Has the font of what attackers sent a glyph for it?
pub fn can_be_drawn(character: char) -> bool {
    FONTS.as_ref().is_some_and(|fonts| fonts.mono.glyph_id(character).0 != 0)
}

/// The file's bytes. Each unit of the picture is so many pixels wide and high.
pub fn png(picture: &Picture, scale: f64) -> Result<Vec<u8>, PngError> {
    let fonts = FONTS.as_ref().ok_or(PngError::Fonts)?;
    let (width, height) = ((picture.width * scale).ceil() as u32, (picture.height * scale).ceil() as u32);
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(PngError::TooLarge(width, height));
    }
    let mut canvas = Canvas::new(width as usize, height as usize);
    for shape in &picture.shapes {
        match shape {
            Shape::Rect { x, y, width, height, fill } => {
                canvas.rect([*x, *y, x + width, y + height].map(|edge| edge * scale), colour(fill));
            }
            Shape::Text { x, y, size, face, anchor, fill, text } => {
                let font = match face {
                    Face::Sans => &fonts.sans,
                    Face::Bold => &fonts.bold,
                    Face::Mono => &fonts.mono,
                };
                canvas.text(font, [x * scale, y * scale, size * scale], *anchor, colour(fill), text);
            }
        }
    }
    Ok(canvas.encode()?)
}

/// The three parts of `#rrggbb`; black of what is none.
fn colour(text: &str) -> [u8; 3] {
    let number = u32::from_str_radix(text.trim_start_matches('#'), 16).unwrap_or(0);
    let [_, red, green, blue] = number.to_be_bytes();
    [red, green, blue]
}

struct Canvas {
    width: usize,
    height: usize,
    /// Red, green and blue of each pixel, from the left, from the top.
    pixels: Vec<u8>,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![0xff; width * height * 3] }
    }

    /// A rectangle from left, top, right and bottom edge. Pixels that it covers in part take that part of its colour.
    fn rect(&mut self, [left, top, right, bottom]: [f64; 4], colour: [u8; 3]) {
        let part = |pixel: usize, from: f64, to: f64| {
            (to.min(pixel as f64 + 1.0) - from.max(pixel as f64)).clamp(0.0, 1.0)
        };
        for y in top.max(0.0) as usize..(bottom.ceil().max(0.0) as usize).min(self.height) {
            let of_row = part(y, top, bottom);
            for x in left.max(0.0) as usize..(right.ceil().max(0.0) as usize).min(self.width) {
                self.mix(x, y, colour, of_row * part(x, left, right));
            }
        }
    }

    /// A line of text: place of its anchor on the base line, and size of its letters, in pixels.
    fn text(
        &mut self,
        font: &FontRef<'_>,
        [x, y, size]: [f64; 3],
        anchor: Anchor,
        colour: [u8; 3],
        text: &str,
    ) {
        // The size of letters in CSS is that of the em square, which is smaller than the line's height that ab_glyph scales by.
        let em = font.units_per_em().unwrap_or(2048.0);
        let scale = PxScale::from(size as f32 * font.height_unscaled() / em);
        let scaled = font.as_scaled(scale);
        let length: f32 = text.chars().map(|letter| scaled.h_advance(scaled.glyph_id(letter))).sum();
        let mut pen = x as f32
            - match anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => length / 2.0,
                Anchor::End => length,
            };
        for letter in text.chars() {
            let id = scaled.glyph_id(letter);
            let glyph = Glyph { id, scale, position: point(pen, y as f32) };
            pen += scaled.h_advance(id);
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let (left, top) = (outline.px_bounds().min.x as i64, outline.px_bounds().min.y as i64);
            outline.draw(|column, row, part| {
                let place =
                    (usize::try_from(left + i64::from(column)), usize::try_from(top + i64::from(row)));
                if let (Ok(x), Ok(y)) = place
                    && x < self.width
                    && y < self.height
                {
                    self.mix(x, y, colour, f64::from(part).clamp(0.0, 1.0));
                }
            });
        }
    }

    fn mix(&mut self, x: usize, y: usize, colour: [u8; 3], part: f64) {
        let place = (y * self.width + x) * 3;
        for (pixel, colour) in self.pixels[place..place + 3].iter_mut().zip(colour) {
            let (old, new) = (f64::from(*pixel), f64::from(colour));
            *pixel = (old + (new - old) * part).round() as u8;
        }
    }

    fn encode(&self) -> io::Result<Vec<u8>> {
        let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
        let mut header = Vec::new();
        header.extend((self.width as u32).to_be_bytes());
        header.extend((self.height as u32).to_be_bytes());
        // Eight bits, red, green and blue; deflate, filters of rows, no interlacing.
        header.extend([8, 2, 0, 0, 0]);
        chunk(&mut out, *b"IHDR", &header);
        let mut data = ZlibEncoder::new(Vec::new(), Compression::default());
        for row in self.pixels.chunks(self.width * 3) {
            // No filter: areas of one colour need none.
            data.write_all(&[0])?;
            data.write_all(row)?;
        }
        chunk(&mut out, *b"IDAT", &data.finish()?);
        chunk(&mut out, *b"IEND", b"");
        Ok(out)
    }
}

fn chunk(out: &mut Vec<u8>, kind: [u8; 4], content: &[u8]) {
    out.extend((content.len() as u32).to_be_bytes());
    let start = out.len();
    out.extend(kind);
    out.extend(content);
    let sum = crc32fast::hash(&out[start..]);
    out.extend(sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn picture(width: f64, height: f64, shapes: Vec<Shape>) -> Picture {
        Picture { width, height, title: String::new(), description: String::new(), shapes }
    }

    #[test]
    fn what_is_drawn_is_in_the_pixels_also_at_the_edges() {
        let text = |text: &str, anchor| Shape::Text {
            x: 20.0,
            y: 15.0,
            size: 13.0,
            face: Face::Mono,
            anchor,
            fill: "#000000",
            text: text.to_owned(),
        };
        let rect = |at| Shape::Rect { x: at, y: at - 20.0, width: 10.0, height: 50.0, fill: "#2b6cb0" };
        let shapes = vec![
            text("much too long for it ä€ж", Anchor::Middle),
            text("", Anchor::End),
            rect(-5.0),
            rect(35.0),
        ];
        let bytes = png(&picture(40.0, 20.0, shapes), 2.0).unwrap();
        let length = u32::from_be_bytes(bytes[33..37].try_into().unwrap()) as usize;
        assert_eq!(&bytes[37..41], b"IDAT");
        let mut pixels = Vec::new();
        flate2::read::ZlibDecoder::new(&bytes[41..41 + length]).read_to_end(&mut pixels).unwrap();
        assert_eq!(pixels.len(), 40 * (1 + 80 * 3));
        assert_eq!(pixels[1..4], [0x2b, 0x6c, 0xb0]);
        assert_eq!(pixels[pixels.len() - 3..], [0x2b, 0x6c, 0xb0]);
        let is_black = |pixel: &[u8]| pixel == [0, 0, 0];
        assert!(pixels.chunks(241).any(|row| row[1..].chunks(3).any(is_black)), "there are letters");
    }

    #[test]
    fn what_the_font_has_no_glyph_for_cannot_be_drawn() {
        assert!(['a', 'ä', 'ж', '€', '…'].into_iter().all(can_be_drawn));
        assert!(!can_be_drawn('密'));
    }

    #[test]
    fn a_picture_without_bounds_is_refused() {
        let picture = picture(760.0, 1e7, Vec::new());
        assert!(matches!(png(&picture, 1.0), Err(PngError::TooLarge(760, 10_000_000))));
    }
}
