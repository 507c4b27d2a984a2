//! What is planned for columns, found in values, and said about columns.

mod found;
mod planned;
mod classified;
mod measured;

use portcullis_plugin_sdk::{Cells, Masked, Masker, testing};

use super::PiiMask;
use crate::handle::Handle;

fn policy(settings: &str) -> PiiMask {
    testing::policy(settings).unwrap()
}

/// The values after the policy looked at them.
fn masked(settings: &str, handle: Handle, values: &[&str]) -> Vec<String> {
    let batch: Cells = values.iter().copied().collect();
    match policy(settings).mask(handle.number(), &batch, &[]) {
        Masked::Unchanged => values.iter().map(|value| (*value).to_owned()).collect(),
        Masked::Replaced(cells) => cells.iter().map(|cell| cell.unwrap().to_owned()).collect(),
        Masked::Edits(edits) => {
            let fill = String::from_utf8(edits.fill).unwrap();
            let mut values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            for words in edits.spans.chunks(3).rev() {
                let [row, start, end] = [words[0], words[1], words[2]].map(|word| word as usize);
                values[row].replace_range(start..end, &fill);
            }
            values
        }
    }
}
