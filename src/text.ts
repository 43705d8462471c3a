/** Text that came from outside, made fit for an error, a log line or a header: printable ASCII, quoted, cut. */
export function quote(text: string, limit = 80): string {
  return `"${printable(text.length > limit ? `${text.slice(0, limit)}...` : text)}"`
}

/** Replaces whatever is not printable ASCII (line breaks, ANSI escapes, bidirectional marks) by `\u{...}`. */
export function printable(text: string): string {
  return text.replace(/[^ -~]/gu, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)
}

/** Replaces only what a terminal or a log would act on: control and format characters and line breaks. */
export function visible(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)
}
