import { made } from './markdown.mjs';
import { messageSection, namesIn } from './protos.mjs';

export function specPage(registry) {
  const { messages } = registry.getFile('types/microvm.proto');
  const known = namesIn(messages);
  return `${made('proto/types/microvm.proto')}
# The spec and the status

A microVM is a spec, which you write, and a status, which the daemon keeps. In YAML and JSON a field may be written as
here or in camel case (\`memory_in_mb\`, \`memoryInMb\`). A field that this version does not honour yet is refused by
name; one that is left out has its default. Megabytes are MiB.

The shortest spec that boots is \`kernel.image\` and one root volume, with a kernel that needs no initrd: 2 vCPUs, 1024 MiB
of memory, and no interface. An interface is there where \`interfaces\` asks for one, and nowhere else
(\`flintlock run\` asks for one where the daemon has a network).

What proves that a field does what is said of it stands in the last column: mostly rows of the
[conformance suite](conformance.md), which boots guests and asks them.

${messages.map((message) => messageSection(message, known, 2, true)).join('\n')}`;
}
