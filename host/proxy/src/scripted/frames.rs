//! Messages of both sides, built for scripts and told back as words.

use portcullis_wire::backend;
use portcullis_wire::frame::cut;

/// A message of either side, and no longer one.
const FRAME_BYTES_MAX: usize = 1 << 30;

/// Messages one behind the other.
#[derive(Clone, Debug, Default)]
pub struct Frames(Vec<u8>);

impl Frames {
    pub fn new() -> Frames {
        Frames::default()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Any message at all, right or wrong.
    pub fn raw(mut self, tag: u8, body: &[u8]) -> Frames {
        portcullis_wire::encode::frame(&mut self.0, tag, body);
        self
    }

    pub fn and(mut self, others: &Frames) -> Frames {
        self.0.extend_from_slice(&others.0);
        self
    }
}

/// What clients say.
impl Frames {
    pub fn query(self, text: &str) -> Frames {
        self.raw(b'Q', &terminated(&[text]))
    }

    pub fn parse(self, name: &str, text: &str) -> Frames {
        let body = [&terminated(&[name, text])[..], &[0, 0]].concat();
        self.raw(b'P', &body)
    }

    pub fn bind(self, portal: &str, name: &str) -> Frames {
        let body = [&terminated(&[portal, name])[..], &[0; 6]].concat();
        self.raw(b'B', &body)
    }

    /// With one value, in text.
    pub fn bind_value(self, portal: &str, name: &str, value: &[u8]) -> Frames {
        let length = (value.len() as u32).to_be_bytes();
        let body = [&terminated(&[portal, name])[..], &[0, 0, 0, 1], &length, value, &[0, 0]];
        self.raw(b'B', &body.concat())
    }

    /// Of a statement (`S`) or a portal (`P`).
    pub fn describe(self, kind: u8, name: &str) -> Frames {
        let body = [&[kind][..], &terminated(&[name])].concat();
        self.raw(b'D', &body)
    }

    pub fn execute(self, portal: &str, rows_max: i32) -> Frames {
        let body = [&terminated(&[portal])[..], &rows_max.to_be_bytes()].concat();
        self.raw(b'E', &body)
    }

    /// Of a statement (`S`) or a portal (`P`).
    pub fn close(self, kind: u8, name: &str) -> Frames {
        let body = [&[kind][..], &terminated(&[name])].concat();
        self.raw(b'C', &body)
    }

    pub fn sync(self) -> Frames {
        self.raw(b'S', b"")
    }

    pub fn flush(self) -> Frames {
        self.raw(b'H', b"")
    }

    pub fn copy_data(self, data: &[u8]) -> Frames {
        self.raw(b'd', data)
    }

    pub fn copy_done(self) -> Frames {
        self.raw(b'c', b"")
    }

    pub fn copy_fail(self, why: &str) -> Frames {
        self.raw(b'f', &terminated(&[why]))
    }

    /// Parse, Bind and Execute of one text, unnamed.
    pub fn run(self, text: &str) -> Frames {
        self.parse("", text).bind("", "").execute("", 0)
    }
}

/// What servers say.
impl Frames {
    /// RowDescription: name, table and attribute, type of each column; all in text.
    pub fn columns(self, columns: &[(&str, (u32, i16), u32)]) -> Frames {
        let mut body = (columns.len() as u16).to_be_bytes().to_vec();
        for (name, (table, attribute), type_oid) in columns {
            body.extend(terminated(&[name]));
            body.extend(table.to_be_bytes());
            body.extend(attribute.to_be_bytes());
            body.extend(type_oid.to_be_bytes());
            body.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
        }
        self.raw(b'T', &body)
    }

    /// DataRow.
    pub fn row(self, cells: &[Option<&[u8]>]) -> Frames {
        let mut body = (cells.len() as u16).to_be_bytes().to_vec();
        for cell in cells {
            let length = cell.map_or(-1, |cell| cell.len() as i32);
            body.extend(length.to_be_bytes());
            body.extend(cell.unwrap_or_default());
        }
        self.raw(b'D', &body)
    }

    pub fn complete(self, tag: &str) -> Frames {
        self.raw(b'C', &terminated(&[tag]))
    }

    /// ReadyForQuery.
    pub fn ready(self, status: u8) -> Frames {
        self.raw(b'Z', &[status])
    }

    pub fn error(self, sqlstate: &str, message: &str) -> Frames {
        self.fields(b'E', "ERROR", sqlstate, message)
    }

    /// An error after which the server hangs up.
    pub fn fatal(self, sqlstate: &str, message: &str) -> Frames {
        self.fields(b'E', "FATAL", sqlstate, message)
    }

    pub fn notice(self, message: &str) -> Frames {
        self.fields(b'N', "NOTICE", "00000", message)
    }

    pub fn parameter(self, name: &str, value: &str) -> Frames {
        self.raw(b'S', &terminated(&[name, value]))
    }

    /// CopyInResponse (`G`) or CopyOutResponse (`H`) of so many columns, in text.
    pub fn copy(self, tag: u8, columns: u8) -> Frames {
        let mut body = vec![0, 0, columns];
        body.resize(3 + 2 * usize::from(columns), 0);
        self.raw(tag, &body)
    }

    fn fields(self, tag: u8, severity: &str, sqlstate: &str, message: &str) -> Frames {
        let mut body = Vec::new();
        for (code, value) in [(b'S', severity), (b'V', severity), (b'C', sqlstate), (b'M', message)]
        {
            body.push(code);
            body.extend(terminated(&[value]));
        }
        body.push(0);
        self.raw(tag, &body)
    }
}

fn terminated(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|text| [text.as_bytes(), &[0]].concat()).collect()
}

/// Cuts whole messages; what is left is no message.
pub fn messages(bytes: &[u8]) -> (Vec<(u8, Vec<u8>)>, &[u8]) {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Ok(Some(frame)) = cut(rest, FRAME_BYTES_MAX) {
        found.push((frame.tag, frame.body.to_vec()));
        rest = rest.get(frame.bytes.len()..).unwrap_or_default();
    }
    (found, rest)
}

/// The tags in order, with what matters beside some: `E:42501`, `C:SELECT 1`, `Z:I`. Runs of
/// rows are one `D*n`; notices and parameters come when they like and are left out.
pub fn sequence(bytes: &[u8]) -> String {
    let (found, rest) = messages(bytes);
    let mut words: Vec<String> = Vec::new();
    let mut rows = 0_usize;
    for (tag, body) in found {
        if tag == b'D' {
            rows += 1;
            continue;
        }
        if rows > 0 {
            words.push(format!("D*{rows}"));
            rows = 0;
        }
        let detail = match tag {
            b'N' | b'S' => continue,
            b'E' => {
                let fields = backend::notice_fields(&body).unwrap_or_default();
                backend::field(&fields, b'C').map(|code| String::from_utf8_lossy(code).into_owned())
            }
            b'C' => Some(String::from_utf8_lossy(&body).trim_end_matches('\0').to_owned()),
            b'Z' => Some(String::from_utf8_lossy(&body).into_owned()),
            _ => None,
        };
        let tag = tag.escape_ascii();
        words.push(detail.map_or_else(|| tag.to_string(), |detail| format!("{tag}:{detail}")));
    }
    if rows > 0 {
        words.push(format!("D*{rows}"));
    }
    if !rest.is_empty() {
        words.push(format!("{} bytes of no message", rest.len()));
    }
    words.join(" ")
}

/// The cells of a DataRow's body; none where it is none.
pub fn cells(body: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let cells = backend::data_row(body).ok()?;
    Some(cells.into_iter().map(|cell| cell.map(<[u8]>::to_vec)).collect())
}
