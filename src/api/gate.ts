/**
 * Asked before a request's body is read; throws Fault `unauthenticated` or
 * `denied` to refuse it. `authorization` is the header's value.
 */
export type Gate = (caller: { readonly authorization: string | undefined }) => void | Promise<void>;
