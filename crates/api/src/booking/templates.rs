//! `/api/v1/templates`: what new meetings begin with.

use conference::booking::Template;
use conference::kept::KeptError;
use conference::people::{Right, Vault};
use conference::problem::Problems;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::settings::SettingsFields;
use crate::kept::Shown;

/// Settings under a name, from which meetings are made. A later change of it does not reach them.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TemplateFields)]
pub struct Fields {
    /// As people know it, 100 characters at most; no two templates have the same.
    name: String,
    /// What it is for.
    #[serde(default)]
    description: String,
    #[serde(default)]
    settings: SettingsFields,
}

impl Shown for Template {
    const PATH: &'static str = "templates";
    const WORDS: (&'static str, &'static str) = ("template", "templates");
    const SCHEMA: &'static str = "Template";
    const TAG: &'static str = "meetings";
    const READ: Right = Right::MeetingsOwn;
    const WRITE: Right = Right::MeetingsWrite;

    type Fields = Fields;

    fn fields(&self) -> Fields {
        let Self { name, description, settings } = self.clone();
        Fields { name, description, settings: settings.into() }
    }

    fn read(fields: Fields, _: Option<&Self>, _: &dyn Vault) -> Result<Self, KeptError> {
        let mut problems = Problems::new();
        let Fields { name, description, settings } = fields;
        let settings = settings.read(&mut problems);
        problems.into_result()?;
        Ok(Self { name, description, settings })
    }
}
