//! Masks what should not be seen: by label, by column name, and, with no configuration at
//! all, by what the values look like.

mod kind;
mod handle;
mod column_types;
mod settings;
mod column_names;
mod system_columns;
mod plan;
mod classes;
mod detect;
mod plain;
mod scan;
mod candidates;
mod mask;
mod classify;

use portcullis_plugin_sdk::{
    Cells, Classifier, Label, MaskAction, Masked, Masker, OutputColumn, Policy, ResultShape,
    Sample, export,
};

use settings::Settings;

pub struct PiiMask {
    settings: Settings,
}

impl Policy for PiiMask {
    type Settings = Settings;

    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn new(settings: Settings) -> Result<PiiMask, String> {
        settings.check()?;
        Ok(PiiMask { settings })
    }
}

impl Masker for PiiMask {
    fn plan(&self, column: &OutputColumn, _: &ResultShape) -> MaskAction {
        plan::plan(column, &self.settings)
    }

    fn mask(&self, handle: u32, batch: &Cells, _: &[Cells]) -> Masked {
        mask::mask(handle, batch, &self.settings)
    }
}

impl Classifier for PiiMask {
    fn classify(&self, column: &Sample) -> Vec<Label> {
        classify::classify(column, &self.settings)
    }
}

export!(masker + classifier PiiMask);

#[cfg(test)]
mod tests;
