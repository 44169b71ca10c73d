import { allVerbs, createProgram as createCli } from '../../src/cli/command-line.ts';
import { createProgram as createDaemon } from '../../src/daemon/command-line.ts';
import { cell, code, made, sentence, table } from './markdown.mjs';

/** A command's help: usage, arguments, options, and what stands below them. */
function commandSection(command, name, level, { withOptions = true } = {}) {
  let all = '';
  command.configureOutput({ writeOut: (text) => (all += text), getOutHelpWidth: () => 120 });
  command.outputHelp();
  const usage = /^Usage: (.*)$/m.exec(all)?.[1] ?? name;
  const help = command.createHelp();
  const args = help
    .visibleArguments(command)
    .map((arg) => [code(help.argumentTerm(arg)), cell(help.argumentDescription(arg))]);
  const options = help
    .visibleOptions(command)
    .map((option) => [code(option.flags), cell(help.optionDescription(option))]);
  const after = all.slice(command.helpInformation().length).trim();
  const [prose, examples] = after.split(/^Examples?:\n/m);
  const parts = [`${'#'.repeat(level)} ${name}\n`];
  if (command.aliases().length > 0) parts.push(`Also: ${command.aliases().map(code).join(', ')}.\n`);
  parts.push(`${sentence(command.description())}\n`, `\`\`\`\n${usage}\n\`\`\`\n`);
  if (args.length > 0) parts.push(table(['argument', 'meaning'], args));
  if (withOptions && options.length > 0) parts.push(table(['option', 'meaning'], options));
  if (prose?.trim()) parts.push(`\`\`\`\n${prose.trim()}\n\`\`\`\n`);
  if (examples) parts.push(`Examples:\n\n\`\`\`sh\n${examples.replaceAll(/^ {2}/gm, '').trim()}\n\`\`\`\n`);
  return parts.join('\n');
}

export async function cliPage() {
  const sink = { out: () => undefined, err: () => undefined };
  const act = async () => undefined;
  const program = createCli(act, {}, sink);
  const verbs = (await allVerbs(program, act)).filter((verb) => verb.name() !== 'help');
  const sections = verbs.flatMap((verb) => [
    commandSection(verb, `flintlock ${verb.name()}`, 2),
    ...verb.commands.map((inner) => commandSection(inner, `flintlock ${verb.name()} ${inner.name()}`, 3)),
  ]);
  const daemon = createDaemon('', { run: act, tearDown: act, example: act });
  const daemonSections = daemon.commands
    .filter((command) => command.name() !== 'help')
    .map((command) => commandSection(command, `flintlockd ${command.name()}`, 2, { withOptions: false }));
  return `${made('the command lines themselves')}
# Command line

${commandSection(program, 'flintlock', 2)}
${table(
  ['verb', 'what it does'],
  verbs.map((verb) => [
    `[${[verb.name(), ...verb.aliases()].join(', ')}](#flintlock-${verb.name()})`,
    cell(verb.description()),
  ]),
)}
${sections.join('\n')}
# The daemon's

Their settings are in [configuration.md](../configuration.md).

${daemonSections.join('\n')}`;
}
