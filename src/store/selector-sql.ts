import type { Requirement, Selector } from '../domain/selector.ts';

const HAS = 'EXISTS (SELECT 1 FROM labels WHERE labels.uid = vms.uid AND key = ?';

/** Each requirement of a selector as a condition on `vms`, answered from the index of labels. Every value is bound, none becomes SQL. */
export const selectorSql = (selector: Selector): [sql: string, values: string[]][] => selector.map(one);

function one(requirement: Requirement): [string, string[]] {
  const { key } = requirement;
  switch (requirement.op) {
    case 'exists':
      return [`${HAS})`, [key]];
    case 'absent':
      return [`NOT ${HAS})`, [key]];
    case 'in':
    case 'notin': {
      const marks = requirement.values.map(() => '?').join(', ');
      const not = requirement.op === 'in' ? '' : 'NOT ';
      return [`${not}${HAS} AND value IN (${marks}))`, [key, ...requirement.values]];
    }
    default:
      return requirement satisfies never;
  }
}
