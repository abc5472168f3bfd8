//! The parameters of a request: each is named, bounded and checked; what is wrong is said in a sentence.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::{Json, RequestPartsExt};
use serde::Serialize;

const MAX_VALUE_BYTES: usize = 300;
const MAX_PARAMS: usize = 16;

/// What a request asked, before it is checked.
#[derive(Debug)]
pub struct Params(HashMap<String, String>);

/// Why a request is not answered: a status and a sentence.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request is not understood.
    #[error("{0}")]
    Bad(String),
    /// What it asks for is not there.
    #[error("{0}")]
    Missing(String),
    /// Not now.
    #[error("{0}")]
    Busy(String),
}

#[derive(Serialize)]
struct Sentence {
    error: String,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
        };
        (status, Json(Sentence { error: self.to_string() })).into_response()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let query: Result<Query<Vec<(String, String)>>, _> = parts.extract().await;
        let Query(pairs) = query
            .map_err(|_| ApiError::Bad("the query string cannot be read: encode it as a form".to_owned()))?;
        if pairs.len() > MAX_PARAMS {
            return Err(ApiError::Bad(format!("{} parameters are too many", pairs.len())));
        }
        let mut params = HashMap::new();
        for (name, value) in pairs {
            if value.len() > MAX_VALUE_BYTES {
                let name = name.chars().take(32).collect::<String>();
                return Err(ApiError::Bad(format!("{name} is longer than {MAX_VALUE_BYTES} bytes")));
            }
            params.insert(name, value);
        }
        Ok(Self(params))
    }
}

impl Params {
    /// Refuses parameters under any other name, so that a slip of the pen is not taken for "everything".
    ///
    /// # Errors
    /// Names the stranger, and the parameters that there are.
    pub fn only(self, known: &[&str]) -> Result<Self, ApiError> {
        let stranger = self.0.keys().find(|name| !known.contains(&name.as_str()));
        match stranger {
            None => Ok(self),
            Some(_) if known.is_empty() => Err(ApiError::Bad("this path takes no parameters".to_owned())),
            Some(name) => {
                let name = name.chars().take(32).collect::<String>();
                Err(ApiError::Bad(format!("{name:?} is no parameter here; there are {}", known.join(", "))))
            }
        }
    }

    /// A text; empty where it is not given.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A text that must be given.
    ///
    /// # Errors
    /// Where it is not given, or empty.
    pub fn required(&self, name: &str) -> Result<&str, ApiError> {
        match self.text(name) {
            "" => Err(ApiError::Bad(format!("{name} must be given"))),
            text => Ok(text),
        }
    }

    /// A whole number within bounds, ends included.
    ///
    /// # Errors
    /// Where it is none, or out of bounds.
    pub fn number(&self, name: &str, default: u64, bounds: (u64, u64)) -> Result<u64, ApiError> {
        let Some(text) = self.0.get(name).filter(|text| !text.is_empty()) else { return Ok(default) };
        match text.parse() {
            Ok(number) if bounds.0 <= number && number <= bounds.1 => Ok(number),
            _ => Err(ApiError::Bad(format!(
                "{name} is a whole number from {} to {}, not {text:?}",
                bounds.0, bounds.1
            ))),
        }
    }

    /// Minutes of history: 1 to 30.
    ///
    /// # Errors
    /// See [`Self::number`].
    pub fn minutes(&self) -> Result<i64, ApiError> {
        self.number("minutes", 15, (1, 30)).map(|minutes| minutes as i64)
    }
}
