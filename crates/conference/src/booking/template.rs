//! What new meetings begin with.

use serde::{Deserialize, Serialize};

use super::settings::Settings;
use crate::problem::Problems;
use crate::store::{Entity, Key, Kind};

/// Settings under a name, from which meetings are made. A meeting keeps what it got: a later change
/// of its template does not reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// As people know it; unique without regard to case.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// How its meetings behave.
    #[serde(default)]
    pub settings: Settings,
}

impl Template {
    /// Characters of a name.
    pub const MAX_NAME: usize = 100;
    /// Characters of a description.
    pub const MAX_DESCRIPTION: usize = 1000;

    /// The key of its name.
    pub const NAME: &'static str = "name";

    /// The form in which a name is looked for.
    pub fn name_key(name: &str) -> String {
        name.to_lowercase()
    }

    /// Everything that is wrong with it.
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::new();
        problems.line("name", &self.name, Self::MAX_NAME);
        problems.text("description", &self.description, Self::MAX_DESCRIPTION);
        problems.within("settings", self.settings.problems());
        problems
    }
}

impl Entity for Template {
    const KIND: Kind = Kind::Template;

    fn keys(&self) -> Vec<Key> {
        vec![Key::unique(Self::NAME, Self::name_key(&self.name))]
    }

    fn search_text(&self) -> String {
        format!("{} {}", self.name, self.description)
    }

    fn title(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::testing::brief;

    #[test]
    fn a_template_is_settings_under_a_name() {
        let template: Template = serde_json::from_str(r#"{"name":"Совет"}"#).unwrap();
        assert_eq!(template.settings, Settings::default());
        assert_eq!(template.keys(), [Key::unique("name", "совет")]);
        assert_eq!(brief(&template.problems()), [""; 0]);
        let mut bad = Template { name: " x".into(), ..template };
        bad.settings.limits.participants = 0;
        let told = ["name format", "settings.limits.participants range"];
        assert_eq!(brief(&bad.problems()), told);
    }
}
