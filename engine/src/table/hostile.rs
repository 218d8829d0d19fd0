//! Files of any bytes, and files as another program writes them.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::Cursor;

fn open(bytes: Vec<u8>, required: &[&str]) -> Result<Table, TableError> {
    Table::read(Path::new("t.csv"), Box::new(Cursor::new(bytes)), required)
}

/// Nearly a table.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&[u8]; 14] = [
        b"a",
        b"b",
        b",",
        b"\n",
        b"\r\n",
        b"\"",
        b"\"\"",
        b" ",
        b"a,b\n",
        b"\xef\xbb\xbf",
        b"\xff",
        b"\0",
        b"\x1b",
        b"1",
    ];
    let pieces = vec(prop::sample::select(pieces.to_vec()), 0..30).prop_map(|pieces| pieces.concat());
    let headed = pieces.clone().prop_map(|rest| [b"a,b\n", rest.as_slice()].concat());
    prop_oneof![3 => headed, 2 => pieces, 1 => vec(any::<u8>(), 0..80)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_bytes_are_read_to_their_end_and_complaints_name_the_line(bytes in bytes(), long in 0..3usize) {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
        let bytes = [bytes, vec![b'x'; long * 500]].concat();
        let complaint = |error: &TableError| {
            let text = error.to_string();
            prop_assert!(text.starts_with("t.csv, line "), "{text}");
            prop_assert!(text.chars().count() <= 700 && !text.chars().any(char::is_control), "{text:?}");
            Ok(())
        };
        let mut table = match open(bytes, &["a", "b"]) {
            Ok(table) => table,
            Err(error) => return complaint(&error),
        };
        for _ in 0..=lines {
            match table.advance() {
                Ok(true) => complaint(&table.complain(BadValue::new("a", table.value(0))))?,
                Ok(false) => return Ok(()),
                Err(error) => complaint(&error)?,
            }
        }
        prop_assert!(false, "more lines than the file has");
    }

    /// Written by the `csv` crate, which quotes as RFC 4180 has it.
    #[test]
    fn what_another_program_writes_is_read_back(
        rows in vec(prop::array::uniform3("[a-z0-9,\"' .\u{e9}-]{0,12}|[^\n]{0,12}"), 0..6),
        marked in any::<bool>(),
        quoted in any::<bool>(),
    ) {
        let style = if quoted { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let mut writer = csv::WriterBuilder::new().quote_style(style).from_writer(Vec::new());
        writer.write_record(["a", "b", "c"]).unwrap();
        for row in &rows {
            writer.write_record(row).unwrap();
        }
        let mark: &[u8] = if marked { b"\xef\xbb\xbf" } else { b"" };
        let mut table = open([mark, &writer.into_inner().unwrap()].concat(), &["a", "b", "c"]).unwrap();
        for row in rows {
            prop_assert!(table.advance().unwrap());
            prop_assert_eq!([0, 1, 2].map(|column| table.value(column).to_owned()), row.map(|value| value.trim().to_owned()));
        }
        prop_assert!(!table.advance().unwrap());
    }
}

#[test]
fn a_column_that_stands_twice_is_refused() {
    let error = open(b"a,b,a\n1,2,3\n".to_vec(), &["a", "b"]).err().unwrap().to_string();
    assert_eq!(error, "t.csv, line 1, column a: stands twice in the header");
    assert!(open(b"a,b,,\n".to_vec(), &["a"]).is_ok(), "columns without a name are nobody's");
}
