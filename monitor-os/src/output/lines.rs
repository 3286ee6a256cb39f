//! A splitter of bytes into lines.

/// A line without its newline, or a piece of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a [u8],
    /// Whether the line ends here.
    pub(crate) ends: bool,
}

/// Cuts a stream into lines of at most [`LINE_MAX`] bytes, independent of its portions.
///
/// It holds memory only while a line is incomplete.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    /// The beginning of a line, or the rest after a piece.
    begun: Vec<u8>,
}

/// The longest uncut line, in bytes; container logs have this bound.
pub(crate) const LINE_MAX: usize = 16 * 1024;

impl Splitter {
    /// Takes a portion, and passes on each complete line and each full piece.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut give: impl FnMut(Piece<'_>)) {
        while !bytes.is_empty() {
            let room = LINE_MAX - self.begun.len();
            let end = memchr::memchr(b'\n', bytes).filter(|&end| end <= room);
            let Some((text, rest)) = bytes.split_at_checked(end.unwrap_or(room)) else {
                self.begun.extend_from_slice(bytes);
                return;
            };
            // A newline may follow a piece of full length, so that piece waits for the next byte.
            if end.is_none() && rest.is_empty() {
                self.begun.extend_from_slice(bytes);
                return;
            }
            if self.begun.is_empty() {
                give(Piece { text, ends: end.is_some() });
            } else {
                self.begun.extend_from_slice(text);
                give(Piece { text: &self.begun, ends: end.is_some() });
                self.begun = Vec::new();
            }
            bytes = if end.is_some() { &rest[1..] } else { rest };
        }
    }

    /// Passes on a last line that has no newline.
    pub(crate) fn finish(&mut self, give: impl FnOnce(Piece<'_>)) {
        if !self.begun.is_empty() {
            give(Piece { text: &std::mem::take(&mut self.begun), ends: true });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(portions: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        let mut splitter = Splitter::default();
        let mut given = Vec::new();
        let mut give = |piece: Piece<'_>| given.push((piece.text.to_vec(), piece.ends));
        for portion in portions {
            splitter.feed(portion, &mut give);
        }
        splitter.finish(&mut give);
        splitter.finish(&mut give);
        given
    }

    #[test]
    fn lines_do_not_depend_on_the_portions() {
        let text = b"one\n\ntwo\xff\0\nlast";
        let whole = pieces(&[text]);
        assert_eq!(whole[..2], [(b"one".to_vec(), true), (Vec::new(), true)]);
        assert_eq!(whole[2..], [(b"two\xff\0".to_vec(), true), (b"last".to_vec(), true)]);
        for size in 1..text.len() {
            assert_eq!(pieces(&text.chunks(size).collect::<Vec<_>>()), whole, "portions of {size}");
        }
        assert_eq!(pieces(&[b""]), []);
        assert_eq!(pieces(&[b"one\n"]).len(), 1);
    }

    /// Goal: cutting a line adds and loses no byte, even at the exact bound.
    #[test]
    fn long_lines_are_cut_and_marked() {
        for length in [LINE_MAX - 1, LINE_MAX, LINE_MAX + 1, 3 * LINE_MAX, 3 * LINE_MAX + 7] {
            let mut text = vec![b'x'; length];
            text.push(b'\n');
            text.extend_from_slice(b"next\n");
            for size in [1, 1000, LINE_MAX, text.len()] {
                let given = pieces(&text.chunks(size).collect::<Vec<_>>());
                let (next, long) = given.split_last().unwrap();
                assert_eq!(next, &(b"next".to_vec(), true));
                assert_eq!(long.len(), length.div_ceil(LINE_MAX), "{length} in {size}");
                assert_eq!(long.iter().map(|(text, _)| text.len()).sum::<usize>(), length);
                assert_eq!(long.iter().filter(|(_, ends)| *ends).count(), 1);
                assert!(long.last().unwrap().1);
            }
        }
    }
}
