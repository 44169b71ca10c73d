/**
 * A vitest reporter that counts for the closing line of `npm test`: writes
 * `{"passed":1,"failed":0,"skipped":0}` to the file named by FLINTLOCK_COUNTS.
 * A file that cannot be loaded and an error outside of all tests count as one
 * failed each: a broken import must not look like no tests.
 */
import { writeFileSync } from 'node:fs';

export default class CountReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      counts.failed += module.errors().length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        counts[state === 'passed' || state === 'failed' ? state : 'skipped']++;
      }
      for (const suite of module.children.allSuites()) counts.failed += suite.errors().length;
    }
    const file = process.env.FLINTLOCK_COUNTS;
    if (file !== undefined) writeFileSync(file, JSON.stringify(counts));
  }
}
