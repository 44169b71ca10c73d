/**
 * Files of ours that comments name: `restart.ts`, `api/http/routes.ts`, by the end of their path.
 * What stands in an address of the web or in quotes (as code does) is none.
 */
export function namedInComments(source: string): readonly string[] {
  const comments = source.match(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm) ?? [];
  return comments.flatMap((comment) => namesIn(comment));
}

/** Paths that a page of the documentation gives as code, from the root: `src/engine/step-runner.ts`, `test/faults/`. */
export function namedInPage(markdown: string): readonly string[] {
  const text = markdown.replaceAll(/^```.*?^```$/gms, '');
  return [...text.matchAll(/`((?:src|test|scripts|guest|bench|docs|proto|packaging)\/[\w./-]*)`/g)].map(
    ([, path = '']) => path,
  );
}

function namesIn(text: string): readonly string[] {
  const ours = text.replaceAll(/\bhttps?:\/\/\S+/g, '');
  return [...ours.matchAll(/(?<![\w*'"./-])[\w-][\w./-]*\.(?:ts|mjs)\b/g)].map(([name]) => name);
}
