//! Which models there are, and which runtime serves which.

use std::fmt;

use indexmap::{IndexMap, IndexSet};
use serde::Serialize;

use crate::check::split_model;
use crate::manifest::ModelEntry;
use crate::types::Description;

/// Models by canonical id, as the adapters and `runtimes.toml` have them.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    runtimes: IndexMap<String, Served>,
}

/// What one runtime serves.
#[derive(Clone, Debug, Default)]
struct Served {
    providers: IndexSet<String>,
    /// Labels by canonical id.
    models: IndexMap<String, Option<String>>,
}

/// A model and the runtimes that serve it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CatalogModel {
    /// The canonical id, `provider/model-id`.
    pub id: String,
    /// The provider's part of it.
    pub provider: String,
    /// A name for people.
    pub label: Option<String>,
    /// The runtimes that serve it, in the order of `runtimes.toml`.
    pub runtimes: Vec<String>,
}

/// A model that a runtime does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelError {
    /// No runtime of this name serves anything.
    UnknownRuntime {
        /// The name.
        runtime: String,
    },
    /// The id has no provider.
    NotCanonical {
        /// What was given.
        model: String,
        /// Canonical ids that it may stand for, those of the runtime first.
        suggestions: Vec<String>,
    },
    /// The runtime does not talk to the model's provider.
    Provider {
        /// What was given.
        model: String,
        /// The runtime.
        runtime: String,
        /// What the runtime serves.
        valid: Vec<String>,
    },
    /// The runtime does not serve this model of the provider.
    Unknown {
        /// What was given.
        model: String,
        /// The runtime.
        runtime: String,
        /// What the runtime serves.
        valid: Vec<String>,
    },
}

impl std::error::Error for ModelError {}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRuntime { runtime } => write!(f, "runtime `{runtime}` is not available"),
            Self::NotCanonical { model, suggestions } => {
                write!(
                    f,
                    "model `{model}` is not a canonical id of the form provider/model-id"
                )?;
                match suggestions.as_slice() {
                    [] => Ok(()),
                    [one] => write!(f, "; did you mean `{one}`?"),
                    many => write!(f, "; did you mean one of {}?", List(many)),
                }
            }
            Self::Provider {
                model,
                runtime,
                valid,
            } => {
                let provider = model.split('/').next().unwrap_or_default();
                write!(
                    f,
                    "runtime `{runtime}` does not serve provider `{provider}` of `{model}`"
                )?;
                write!(f, "; it serves {}", List(valid))
            }
            Self::Unknown {
                model,
                runtime,
                valid,
            } => {
                write!(f, "runtime `{runtime}` does not know model `{model}`")?;
                write!(f, "; it serves {}", List(valid))
            }
        }
    }
}

/// Some names, and how many more there are.
struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 20;
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (index, name) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}`{name}`", if index == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl Catalog {
    /// Puts the catalog together. Entries of `runtimes.toml` add a model, replace the label of
    /// one that the adapter names, or hide it.
    pub(crate) fn new<'a>(
        runtimes: impl Iterator<Item = (&'a str, &'a Description, &'a [ModelEntry])>,
    ) -> Self {
        let runtimes: Vec<_> = runtimes.collect();
        let mut catalog = Self::default();
        for &(name, description, entries) in &runtimes {
            let mut served = Served {
                providers: description.providers.iter().map(|p| p.id.clone()).collect(),
                models: IndexMap::new(),
            };
            for model in &description.models {
                served.models.insert(model.id.clone(), model.label.clone());
            }
            for entry in entries.iter().filter(|entry| !entry.hidden) {
                let label = served.models.entry(entry.id.clone()).or_default();
                if entry.label.is_some() {
                    label.clone_from(&entry.label);
                }
            }
            remove_hidden(&mut served, entries);
            catalog.runtimes.insert(name.to_owned(), served);
        }
        let known: Vec<(String, Option<String>)> = catalog
            .runtimes
            .values()
            .flat_map(|served| served.models.clone())
            .collect();
        for &(name, description, entries) in &runtimes {
            let Some(served) = catalog.runtimes.get_mut(name) else {
                continue;
            };
            for provider in description.providers.iter().filter(|p| p.whole_catalog) {
                for (id, label) in &known {
                    if split_model(id).is_some_and(|(of, _)| of == provider.id) {
                        served
                            .models
                            .entry(id.clone())
                            .or_insert_with(|| label.clone());
                    }
                }
            }
            remove_hidden(served, entries);
        }
        catalog
    }

    /// Every model, in the order in which the runtimes name them.
    #[must_use]
    pub fn models(&self) -> Vec<CatalogModel> {
        let mut models = IndexMap::<&str, CatalogModel>::new();
        for (runtime, served) in &self.runtimes {
            for (id, label) in &served.models {
                let model = models.entry(id).or_insert_with(|| CatalogModel {
                    id: id.clone(),
                    provider: split_model(id)
                        .map_or("", |(provider, _)| provider)
                        .to_owned(),
                    label: None,
                    runtimes: Vec::new(),
                });
                if model.label.is_none() {
                    model.label.clone_from(label);
                }
                model.runtimes.push(runtime.clone());
            }
        }
        models.into_values().collect()
    }

    /// The canonical ids that a runtime serves. None: there is no such runtime.
    #[must_use]
    pub fn served_by(&self, runtime: &str) -> Option<Vec<String>> {
        Some(self.runtimes.get(runtime)?.models.keys().cloned().collect())
    }

    /// Whether a runtime serves a model.
    ///
    /// # Errors
    ///
    /// It does not; the error says what would be valid.
    pub fn validate_model(&self, runtime: &str, model: &str) -> Result<(), ModelError> {
        let Some(served) = self.runtimes.get(runtime) else {
            return Err(ModelError::UnknownRuntime {
                runtime: runtime.to_owned(),
            });
        };
        if served.models.contains_key(model) {
            return Ok(());
        }
        let (model, runtime) = (model.to_owned(), runtime.to_owned());
        let valid = || served.models.keys().cloned().collect();
        match split_model(&model) {
            Some((provider, _)) if served.providers.contains(provider) => {
                let valid = valid();
                Err(ModelError::Unknown {
                    model,
                    runtime,
                    valid,
                })
            }
            // A bare id with a slash of its own is told from a foreign provider's by being known.
            Some(_) if self.suggestions(served, &model).is_empty() => {
                let valid = valid();
                Err(ModelError::Provider {
                    model,
                    runtime,
                    valid,
                })
            }
            _ => {
                let suggestions = self.suggestions(served, &model);
                Err(ModelError::NotCanonical { model, suggestions })
            }
        }
    }

    /// Canonical ids whose model part is what was given: the runtime's, or else anyone's.
    fn suggestions(&self, served: &Served, bare: &str) -> Vec<String> {
        let matching = |served: &Served| -> Vec<String> {
            let same = |id: &&String| split_model(id).is_some_and(|(_, model)| model == bare);
            served.models.keys().filter(same).cloned().collect()
        };
        let own = matching(served);
        if !own.is_empty() {
            return own;
        }
        let all: IndexSet<String> = self.runtimes.values().flat_map(matching).collect();
        all.into_iter().collect()
    }
}

fn remove_hidden(served: &mut Served, entries: &[ModelEntry]) {
    for entry in entries.iter().filter(|entry| entry.hidden) {
        served.models.shift_remove(&entry.id);
    }
}
