/** The outcome of work, or a rejection with the signal's reason, whichever is first. `late`: what to do with what comes after all. */
export async function untilAborted<T>(
  work: Promise<T>,
  signal: AbortSignal,
  late: (value: T) => void,
): Promise<T> {
  const ended = Promise.withResolvers<never>();
  const abort = (): void => ended.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, ended.promise]);
  } catch (error) {
    if (signal.aborted) work.then(late, () => {});
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
