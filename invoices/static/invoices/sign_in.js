// Passkeys: asks the browser for one, and sends what it says with the form. Nothing else needs this file.
(() => {
  "use strict";

  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (each) => each.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const listed = (credentials) => (credentials || []).map((each) => ({ ...each, id: bytes(each.id) }));

  const create = async (options) => {
    const asked = { ...options.publicKey, challenge: bytes(options.publicKey.challenge) };
    asked.user = { ...asked.user, id: bytes(asked.user.id) };
    asked.excludeCredentials = listed(asked.excludeCredentials);
    const made = await navigator.credentials.create({ publicKey: asked });
    return {
      id: made.id,
      rawId: text(made.rawId),
      type: made.type,
      response: {
        clientDataJSON: text(made.response.clientDataJSON),
        attestationObject: text(made.response.attestationObject),
        transports: made.response.getTransports ? made.response.getTransports() : [],
      },
      clientExtensionResults: made.getClientExtensionResults(),
    };
  };

  const get = async (options) => {
    const asked = { ...options.publicKey, challenge: bytes(options.publicKey.challenge) };
    asked.allowCredentials = listed(asked.allowCredentials);
    const found = await navigator.credentials.get({ publicKey: asked });
    return {
      id: found.id,
      rawId: text(found.rawId),
      type: found.type,
      response: {
        clientDataJSON: text(found.response.clientDataJSON),
        authenticatorData: text(found.response.authenticatorData),
        signature: text(found.response.signature),
        userHandle: found.response.userHandle ? text(found.response.userHandle) : null,
      },
      clientExtensionResults: found.getClientExtensionResults(),
    };
  };

  document.querySelectorAll("form[data-passkey]").forEach((form) => {
    const button = form.querySelector("button[type=button]");
    const note = form.querySelector(".note[hidden]");
    button.addEventListener("click", async () => {
      note.hidden = true;
      try {
        const data = JSON.parse(document.getElementById("passkey").textContent);
        const said = form.dataset.passkey === "create"
          ? await create(data.creation_options) : await get(data.request_options);
        form.elements.credential.value = JSON.stringify(said);
        form.submit();
      } catch (error) {
        note.textContent = error.name === "InvalidStateError"
          ? note.dataset.known
          : note.dataset.none;
        note.hidden = false;
      }
    });
  });
})();
