import { cell, code, made, table } from './markdown.mjs';
import { anchor, commentOf, messageSection, namesIn, PATH } from './protos.mjs';

export function dropInPage(registry) {
  const files = ['services/microvms', 'types/microvm', 'exec/microvmexec', 'ssh/microvmsshproxy'].map((name) =>
    registry.getFile(`dropin/${name}.proto`),
  );
  const messages = files.flatMap((file) => file.messages);
  const known = namesIn(messages);
  const [service] = files.flatMap((file) => file.services);
  const stream = (is) => (is ? 'stream of ' : '');
  const rows = files.flatMap((file) =>
    (file.services[0]?.methods ?? []).map((method, k) => [
      code(method.name),
      `${stream(method.methodKind === 'bidi_streaming')}${known.has(method.input.typeName) ? `[${method.input.name}](#${anchor(method.input)})` : method.input.name}`,
      `${stream(method.methodKind !== 'unary')}${known.has(method.output.typeName) ? `[${method.output.name}](#${anchor(method.output)})` : method.output.name}`,
      cell(commentOf(file, [PATH.fileService, 0, PATH.method, k])),
    ]),
  );
  return `${made('proto/dropin and scripts/docs/drop-in.mjs')}
# The drop-in API

For clients of Liquid Metal: point them at \`flintlockd\`, with the address and token that they have. The service is
\`${service.typeName}\`, and for commands in guests \`microvmexec.services.api.v1alpha1.MicroVMExec\` and
\`microvmsshproxy.services.api.v1alpha1.MicroVMSSHProxy\`, on the port of the native API, with reflection and health. New programs
use the [native API](api.md), which can do more; a microVM made through one is read, listed and deleted through the other.

${table(['call', 'request', 'answer', 'what it does'], rows)}
## Over HTTP

${table(
  ['request', 'answer'],
  [
    ['`POST /v1alpha1/microvm`, the body is the MicroVMSpec', 'CreateMicroVMResponse'],
    ['`GET /v1alpha1/microvm/{uid}`', 'GetMicroVMResponse'],
    ['`GET /v1alpha1/microvm/{namespace}?name=`', 'ListMicroVMsResponse, of one namespace'],
    ['`GET /v1alpha1/microvm?namespace=&name=`', 'ListMicroVMsResponse, of all namespaces'],
    ['`DELETE /v1alpha1/microvm/{uid}`', '`{}`, at once'],
  ],
)}
Names of fields may be in snake or camel case, enums names or numbers. An unknown field is 400. An error is
\`{"code": 5, "message": "… not found", "details": []}\` with the number of its gRPC code and the HTTP status that belongs
to it. A path that has the form of a uid is one, unless a namespace is called so.

## What is to be known

- **A uid names a microVM**; several may have one namespace and id. \`namespace/id\` is taken for a uid where it is that of
  exactly one.
- **Interfaces are MACVTAP where the type is left out**, and need \`--parent-iface\`. A TAP is on the managed network, or on
  the bridge of \`--bridge-name\`, or on the one that \`overrides.bridge_name\` names.
- **Metadata** is on a disk with the label \`cidata\`, the last one, which cloud-init reads by itself. A TAP on the managed
  network reaches it at \`http://169.254.169.254/\` too. \`meta-data\` gets \`instance_id: <uid>\` where it has none. A value that
  is no base64 is served as it is.
- **A static address**: \`gateway\` with or without a prefix, \`nameservers\`; what is left out is the managed network's. The
  guest is told by the same words as in the native API (see [guests.md](../guests.md)).
- **kernel.cmdline** is written in the order of the keys; an empty value is a bare flag; a value with white space is quoted.
- **States**: what the native API calls STOPPED is FAILED here, and PAUSED is CREATED. \`status.message\` and
  \`status.reason\` say why; they are an extension that older clients pass over.
- **Optional fields** that were left out stay out in answers; empty ones are as left out.
- **\`allow_guest_agent\`** is the native API's \`"agent": "on"\` in \`provider_options\`, and false is \`"off"\`. ExecCommand and SSHProxy go by the
  guest's agent; without that right it is FAILED_PRECONDITION.
- **\`vsock_path\`** is a socket of the daemon's own, there while the guest runs: see [guest-agent.md](../guest-agent.md).
- **Not built yet**, and refused by name: \`virtiofs_source\`. The tags of
  ServerInfo are unverified: no publication of them was read.
- **The other API's fields** have some of the same tags. A client that calls the wrong one of the two services is refused
  with INVALID_ARGUMENT, and nothing is made.

${messages.map((message) => messageSection(message, known, 2)).join('\n')}`;
}
