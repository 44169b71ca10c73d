import { Fault } from './fault.ts';
import { checkLabelKey, checkLabelValue, shorten } from './labels.ts';

/** As many as a microVM may have labels; SQLite refuses conditions that nest more than 1,000 deep (sqlite.org/limits.html). */
const MAX_REQUIREMENTS = 256;
/** Of one requirement, for the same reason: SQLite binds at most 32,766 values. */
const MAX_VALUES = 100;

/** One requirement of a label selector; all must hold. */
export type Requirement = Readonly<
  { key: string; op: 'in' | 'notin'; values: readonly string[] } | { key: string; op: 'exists' | 'absent' }
>;
export type Selector = readonly Requirement[];

/**
 * Parses Kubernetes' label selector syntax: `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
 * @throws Fault `invalid` that says where it went wrong
 * @see https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
 */
export function parseSelector(text: string, field = 'label_selector'): Selector {
  const fail = (why: string): never => {
    throw Fault.invalid([{ field, description: `${why}; write for instance "app=web,tier in (a,b),!old"` }]);
  };
  const parts = splitOutsideParentheses(text);
  if (parts.length > MAX_REQUIREMENTS) return fail(`has ${parts.length} requirements: at most ${MAX_REQUIREMENTS}`);
  return parts.map((part) => {
    const one = part.trim();
    if (one === '') return fail('an empty requirement');
    const set = /^([^\s!=(),]+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(one);
    if (set) {
      const [, key = '', op = '', list = ''] = set;
      const values = list.split(',').map((v) => v.trim());
      if (values.length > MAX_VALUES) return fail(`${shorten(key)} has ${values.length} values: at most ${MAX_VALUES}`);
      return requirement({ key, op: op === 'in' ? 'in' : 'notin', values }, fail);
    }
    const equal = /^([^\s!=(),]+)\s*(==|=|!=)\s*([^\s!=(),]*)$/.exec(one);
    if (equal) {
      const [, key = '', op = '', value = ''] = equal;
      return requirement({ key, op: op === '!=' ? 'notin' : 'in', values: [value] }, fail);
    }
    const bare = /^(!?)\s*([^\s!=(),]+)$/.exec(one);
    if (bare) {
      const [, not = '', key = ''] = bare;
      return requirement({ key, op: not ? 'absent' : 'exists' }, fail);
    }
    return fail(`"${shorten(one)}" is no requirement`);
  });
}

function requirement(made: Requirement, fail: (why: string) => never): Requirement {
  const wrong =
    checkLabelKey(made.key) ?? ('values' in made ? made.values.map(checkLabelValue).find((w) => w) : undefined);
  return wrong ? fail(wrong) : made;
}

function splitOutsideParentheses(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '(') depth++;
    else if (text[i] === ')') depth--;
    else if (text[i] === ',' && depth === 0) {
      parts.push(text.slice(from, i));
      from = i + 1;
    }
  }
  if (text.trim() !== '') parts.push(text.slice(from));
  return parts;
}

/** Whether labels meet a selector; `notin` holds where the key is absent, as in Kubernetes. */
export function matches(selector: Selector, labels: Readonly<Record<string, string>>): boolean {
  return selector.every((r) => {
    const value = Object.hasOwn(labels, r.key) ? labels[r.key] : undefined;
    switch (r.op) {
      case 'in':
        return value !== undefined && r.values.includes(value);
      case 'notin':
        return value === undefined || !r.values.includes(value);
      case 'exists':
        return value !== undefined;
      case 'absent':
        return value === undefined;
      default:
        return r satisfies never;
    }
  });
}
