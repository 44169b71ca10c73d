import { cell, code, made, table } from './markdown.mjs';
import { anchor, commentOf, messageSection, namesIn, PATH } from './protos.mjs';

const API_FILES = ['microvms', 'images', 'host', 'guest', 'guest_files'].map(
  (name) => `flintlock/microvm/v1/${name}.proto`,
);

export function apiPage(registry) {
  const files = API_FILES.map((path) => registry.getFile(path));
  const known = namesIn(files.flatMap((file) => file.messages));
  const stream = (is, desc) =>
    `${is ? 'stream of ' : ''}${known.has(desc.typeName) ? `[${desc.name}](#${anchor(desc)})` : desc.name}`;
  const services = files.flatMap((file) =>
    file.services.map((service, i) => {
      const at = [PATH.fileService, i];
      const rows = service.methods.map((method, k) => [
        code(method.name),
        stream(['client_streaming', 'bidi_streaming'].includes(method.methodKind), method.input),
        stream(['server_streaming', 'bidi_streaming'].includes(method.methodKind), method.output),
        cell(commentOf(file, [...at, PATH.method, k])),
      ]);
      return `## ${service.name}\n\n${commentOf(file, at)}\n\n${table(['call', 'request', 'answer', 'what it does'], rows)}`;
    }),
  );
  return `${made('proto/flintlock/microvm/v1')}
# The API

Package \`flintlock.microvm.v1\`, over gRPC with reflection and health. The records are in [spec.md](spec.md).

${services.join('\n')}
${files.flatMap((file) => file.messages.map((message) => messageSection(message, known, 2))).join('\n')}`;
}
