//! PUT and DELETE.

use std::io::Read;

use grapeshot_vfs::{FilePath, Kind, NewFile};

use super::content::{entity_tag, validators};
use super::reading::StaticFiles;
use crate::conditions::{Verdict, judge};
use crate::{HandlerError, Rejection, Request, Response, Status};

const CHUNK: usize = 64 << 10;

impl StaticFiles {
    pub(super) fn put(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
        path: &FilePath,
        max_bytes: u64,
    ) -> Result<(), HandlerError> {
        if request.subpath().ends_with('/') {
            return Err(Rejection::new(Status::CONFLICT, "a folder cannot be put").into());
        }
        if request.header("Content-Range").is_some() {
            // RFC 9110, section 14.5: a part that is taken for the whole would destroy it.
            return Err(Rejection::new(Status::BAD_REQUEST, "only whole files can be put").into());
        }
        // Asked before the content is received, and again when it is there.
        self.check(request, path)?;
        request.limit_body(max_bytes);
        if request
            .content_length()
            .is_some_and(|length| length > max_bytes)
        {
            return Err(crate::Refusal::BodyTooLong.status().into());
        }
        let mut file = self.files.create(path).map_err(Rejection::of_files)?;
        receive(request, &mut *file)?;
        let _changing = self.changing.lock();
        let existed = self.check(request, path)?;
        file.commit().map_err(Rejection::of_files)?;
        let status = if existed {
            Status::NO_CONTENT
        } else {
            Status::CREATED
        };
        let mut response = response.status(status);
        if let Ok(metadata) = self.files.metadata(path) {
            response = response.header("ETag", entity_tag(&validators(&metadata)));
        }
        Ok(response.send("")?)
    }

    pub(super) fn delete(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
        path: &FilePath,
    ) -> Result<(), HandlerError> {
        let _changing = self.changing.lock();
        if !self.check(request, path)? {
            return Err(Status::NOT_FOUND.into());
        }
        self.files.remove_file(path).map_err(Rejection::of_files)?;
        Ok(response.status(Status::NO_CONTENT).send("")?)
    }

    /// Whether there is such a file, if the request's conditions allow it to be changed.
    fn check(&self, request: &Request<'_>, path: &FilePath) -> Result<bool, HandlerError> {
        let found = self.open(path)?;
        let metadata = found.as_ref().map(|file| file.metadata());
        if metadata.is_some_and(|metadata| metadata.kind != Kind::File) {
            return Err(Rejection::new(Status::CONFLICT, "this is no file").into());
        }
        match judge(**request, metadata.map(validators).as_ref()) {
            Verdict::Proceed => Ok(metadata.is_some()),
            _ => Err(Rejection::new(Status::PRECONDITION_FAILED, "it has changed").into()),
        }
    }
}

/// The errors of reading are the server's to answer, those of writing ours.
fn receive(request: &mut Request<'_>, file: &mut dyn NewFile) -> Result<(), HandlerError> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match request.read(&mut chunk)? {
            0 => return Ok(()),
            count => file
                .write_all(&chunk[..count])
                .map_err(Rejection::of_files)?,
        }
    }
}
