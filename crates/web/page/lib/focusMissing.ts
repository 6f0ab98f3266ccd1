/** Puts the focus where the form still lacks something. */
export function focusMissing(form: HTMLFormElement): void {
  [...form.querySelectorAll('input')].find((input) => input.value.trim() === '')?.focus();
}
