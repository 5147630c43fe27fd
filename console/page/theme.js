// Before anything is drawn: the colours that were chosen here, else those of the system.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem('reachflow.theme');
  } catch {
    // Storage may be forbidden: the system's colours then.
  }
  const isDark = matchMedia('(prefers-color-scheme: dark)').matches;
  document.documentElement.dataset['theme'] = chosen ?? (isDark ? 'dark' : 'light');
})();
