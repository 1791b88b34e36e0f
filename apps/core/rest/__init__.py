"""The REST door's machinery: views, problems, strict bodies, OpenAPI from proto messages."""
