/** What can be written after a verb. */
export interface VerbWords {
  readonly names: readonly string[];
  readonly summary: string;
  readonly options: readonly {
    readonly names: readonly string[];
    readonly description: string;
    readonly choices: readonly string[];
    readonly takesValue: boolean;
  }[];
  readonly choices: readonly string[];
  /** Whether it takes names of microVMs, which are asked of the daemon. */
  readonly takesVm: boolean;
}

const ASK = 'flintlock list -A -o name 2>/dev/null';
const optionsOf = ({ options }: VerbWords): string[] => [...options.flatMap(({ names }) => names), '--help'];
const choicesOf = ({ options }: VerbWords): [string, string][] =>
  options.filter(({ choices }) => choices.length > 0).map(({ names, choices }) => [names.join('|'), choices.join(' ')]);
const isFileOption = (names: readonly string[]): boolean => names.includes('--file');

/** @see https://www.gnu.org/software/bash/manual/html_node/Programmable-Completion.html */
export function bashScript(verbs: readonly VerbWords[]): string {
  const cases = verbs.map((verb) => {
    const values = choicesOf(verb).map(([names, choices]) => `        ${names}) words='${choices}' ;;`);
    const files = verb.options
      .filter(({ names }) => isFileOption(names))
      .map(({ names }) => `        ${names.join('|')}) COMPREPLY=($(compgen -f -- "$now")); return ;;`);
    const vms = verb.takesVm ? `; [[ $now == -* ]] || words+=" $(${ASK})"` : '';
    return `    ${verb.names.join('|')})
      words='${[...optionsOf(verb), ...verb.choices].join(' ')}'${vms}
      case "$before" in
${[...values, ...files, '        *) ;;'].join('\n')}
      esac ;;`;
  });
  return `# bash completion of flintlock
_flintlock() {
  local now=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} verb='' words i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      --host) ((i++)) ;;
      -*) ;;
      *) verb=\${COMP_WORDS[i]}; break ;;
    esac
  done
  case "$verb" in
    '') words='${verbs.flatMap(({ names }) => names).join(' ')} --host --help' ;;
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$now"))
}
complete -F _flintlock flintlock
`;
}

/** @see https://zsh.sourceforge.io/Doc/Release/Completion-System.html */
export function zshScript(verbs: readonly VerbWords[]): string {
  const quote = (text: string): string => text.replaceAll("'", "'\\''").replaceAll(/[[\]:]/g, '\\$&');
  const described = verbs.flatMap(({ names, summary }) => names.map((name) => `'${name}:${quote(summary)}'`));
  const cases = verbs.map((verb) => {
    const args = verb.options.map(({ names, description, choices, takesValue }) => {
      const what = choices.length > 0 ? `(${choices.join(' ')})` : isFileOption(names) ? '_files' : '';
      const value = takesValue ? `:value:${what}` : '';
      return `'${names.length > 1 ? `(${names.join(' ')})'{${names.join(',')}}'` : names[0]}[${quote(description)}]${value}'`;
    });
    if (verb.choices.length > 0) args.push(`'1:value:(${verb.choices.join(' ')})'`);
    if (verb.takesVm) args.push(`'*:microVM:($(${ASK}))'`);
    return `    ${verb.names.join('|')}) _arguments ${["'--help[show help]'", ...args].join(' ')} ;;`;
  });
  return `#compdef flintlock
_flintlock() {
  local state line
  _arguments -C '--host[the daemon]:address:' '1:verb:->verb' '*::argument:->rest'
  case $state in
    verb) local -a verbs=(${described.join(' ')}); _describe verb verbs ;;
    rest) case $line[1] in
${cases.join('\n')}
    esac ;;
  esac
}
if [ "$funcstack[1]" = _flintlock ]; then _flintlock "$@"; else compdef _flintlock flintlock; fi
`;
}

/** @see https://fishshell.com/docs/current/completions.html */
export function fishScript(verbs: readonly VerbWords[]): string {
  const quote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const lines = ['# fish completion of flintlock', 'complete -c flintlock -f'];
  lines.push('complete -c flintlock -n __fish_use_subcommand -l host -x -d "the daemon"');
  for (const verb of verbs) {
    const seen = `-n '__fish_seen_subcommand_from ${verb.names.join(' ')}'`;
    for (const name of verb.names)
      lines.push(`complete -c flintlock -n __fish_use_subcommand -a ${name} -d ${quote(verb.summary)}`);
    for (const { names, description, choices, takesValue } of verb.options) {
      const flags = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
      const what = choices.length > 0 ? ` -x -a ${quote(choices.join(' '))}` : isFileOption(names) ? ' -r -F' : ' -x';
      const value = takesValue ? what : '';
      lines.push(`complete -c flintlock ${seen} ${flags.join(' ')}${value} -d ${quote(description)}`);
    }
    if (verb.choices.length > 0) lines.push(`complete -c flintlock ${seen} -a ${quote(verb.choices.join(' '))}`);
    if (verb.takesVm) lines.push(`complete -c flintlock ${seen} -a '(${ASK})'`);
  }
  return `${lines.join('\n')}\n`;
}
