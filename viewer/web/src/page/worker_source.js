/** The script of the worker, filled in when the package is built. */
export const WORKER_SOURCE = "{{worker}}";
