/**
 * Look-ups by a program that starts for each of them: the public surface without the server, which is half of the time such a
 * program takes to load.
 */

export { type ClientLookupReply, type LookupQuestion, lookUp } from './lookup-client.ts';
export { tabEscape } from './tabescape.ts';
