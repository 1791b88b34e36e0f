// Starts Swagger UI on our own OpenAPI document. A file of its own: the page runs no inline script.
"use strict";

// The cookie is out of reach for scripts; the page carries the token.
const page = document.getElementById("reference").dataset;

window.SwaggerUIBundle({
  dom_id: "#reference",
  url: page.document,
  deepLinking: true,
  docExpansion: "list",
  filter: true,
  validatorUrl: null,
  requestInterceptor(request) {
    if (new URL(request.url, location.href).origin === location.origin) {
      request.headers["X-CSRFToken"] = page.csrf;
    }
    return request;
  },
});
