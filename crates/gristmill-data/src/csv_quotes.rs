//! Rows of CSV that swallowed others: of two stray quotation marks, the second at the end of a value, all between is one value, as
//! RFC 4180 has it.
//!
//! It shows in lines that are rows by themselves: within a value in quotes, each has as many fields as the header, and their values
//! are such as their columns have. A text of several lines with commas may look like that too, if none of its columns says
//! otherwise, and it is legal; so this is a reason to warn and none to refuse, once for all rows of a file.

/// Rows of a file that look as if they had swallowed others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swallowed {
    /// How many.
    pub rows: u64,
    /// The first of them: where it begins, and where it ends.
    pub first: (u64, u64),
}

/// Looks for them among the rows of a file.
#[derive(Debug, Clone, Default)]
pub struct Swallowing {
    found: Option<Swallowed>,
}

impl Swallowing {
    /// Looks at the values of a row with its first and last line. `fits` says whether a text could be a
    /// value of a column. Of rows of one value no line tells whether it is a row.
    pub fn look<'r>(
        &mut self,
        values: impl Iterator<Item = &'r str>,
        delimiter: u8,
        place: (u64, u64),
        fits: impl Fn(usize, &str) -> bool,
    ) {
        let delimiter = char::from(delimiter);
        // As the file has it, but for its quotation marks.
        let mut text = String::new();
        let mut fields = 0;
        for value in values {
            if fields > 0 {
                text.push(delimiter);
            }
            text.push_str(value);
            fields += 1;
        }
        let has_all = |line: &str| line.split(delimiter).count() == fields;
        let is_row = |line: &str| {
            has_all(line)
                && line
                    .split(delimiter)
                    .enumerate()
                    .all(|(at, field)| fits(at, field))
        };
        let mut lines = text.split(['\n', '\r']).filter(|line| !line.is_empty());
        // The first line has values of the row itself.
        let begins = fields > 1 && lines.next().is_some_and(has_all);
        if begins && lines.next().is_some_and(is_row) && lines.all(is_row) {
            let found = self.found.get_or_insert(Swallowed {
                rows: 0,
                first: place,
            });
            found.rows += 1;
        }
    }

    /// What was found.
    pub fn found(self) -> Option<Swallowed> {
        self.found
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What is found in a text, where the first column holds integers.
    fn found(text: &str) -> Option<(u64, (u64, u64))> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes());
        let rows = reader.records().map(|row| row.unwrap());
        let mut swallowing = Swallowing::default();
        for (number, row) in (1..).zip(rows).skip(1) {
            swallowing.look(row.iter(), b',', (number, number), |at, field| {
                at > 0 || field.parse::<i64>().is_ok()
            });
        }
        swallowing.found().map(|found| (found.rows, found.first))
    }

    #[test]
    fn rows_between_two_stray_quotation_marks_are_found() {
        for (text, expected) in [
            // The second mark at the end of a value, at the end of the row or before another value.
            ("id,name\n1,a\n2,\"x\n3,y\n4,z\"\n5,u\n", Some((1, (3, 3)))),
            ("id,name,n\n1,\"x,5\n2,y,6\n3,z\",7\n", Some((1, (2, 2)))),
            ("id,name\n1,\"x\n2,y\"\n", Some((1, (2, 2)))),
            (
                "id,name\r\n1,\"x\r\n2,y\r\n\r\n3,z\"\r\n4,\"a\n5,b\"",
                Some((2, (2, 2))),
            ),
            ("id,name\n1,\"x\n2,\n3,\"\n", Some((1, (2, 2)))),
            // Texts of several lines.
            ("id,name\n1,\"Dear Ada,\nyours, Bob\"\n", None),
            ("id,name\n1,\"one\ntwo\"\n", None),
            ("id,name\n1,\"one\ntwo\n3,three\"\n", None),
            ("id,name\n1,\"one, two\n3,four\"\n", None),
            ("id,name\n1,\"one\n\"\n", None),
            ("id\n\"1\n2\"\n", None),
        ] {
            assert_eq!(found(text), expected, "{text:?}");
        }
    }
}
