// Renders /openapi.json. Requests from the page go to this gateway. Keys are kept in
// memory only.

// One box for the key: the other header for it, X-API-Key, would ask for it again.
const withoutApiKey = (security) => security && security.filter((s) => !("apiKey" in s));

// The demo's link has its public test key in the fragment, which no server sees. Other keys
// are not taken from there: addresses stay in the history of the browser.
const linkedKey = new URLSearchParams(location.hash.slice(1)).get("key");
if (linkedKey) history.replaceState(null, "", location.pathname);

fetch("openapi.json").then((response) => response.json()).then((spec) => {
  spec.security = withoutApiKey(spec.security);
  delete spec.components.securitySchemes.apiKey;
  for (const path of Object.values(spec.paths)) {
    for (const operation of Object.values(path)) operation.security = withoutApiKey(operation.security);
  }
  const ui = SwaggerUIBundle({
    spec,
    dom_id: "#api",
    deepLinking: true,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    filter: false,
    persistAuthorization: false,
    validatorUrl: null,
    defaultModelsExpandDepth: 0,
    docExpansion: "list",
    presets: [SwaggerUIBundle.presets.apis],
    onComplete: () => {
      if (linkedKey && linkedKey.startsWith("agw_test_")) ui.preauthorizeApiKey("bearer", linkedKey);
    },
  });
});
