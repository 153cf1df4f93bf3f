#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "broker/monitor/monitor.h"

uint64_t process_rss_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long long total = 0, resident = 0;
    if (f == NULL) return 0;
    if (fscanf(f, "%llu %llu", &total, &resident) != 2) resident = 0;
    (void)fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t used_ns(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
    uint64_t s = (uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec;
    uint64_t us = (uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec;
    return s * NS_PER_S + us * NS_PER_US;
}

double process_cpu(struct monitor *m)
{
    uint64_t now_ns = env_mono(m->env).ns, used = used_ns();
    if (m->cpu_wall_ns == 0) m->cpu_wall_ns = m->start.ns;
    /* Looked at more often than once a second the figure would be noise. */
    if (now_ns - m->cpu_wall_ns >= NS_PER_S) {
        m->cpu = 100.0 * (double)(used - m->cpu_used_ns) / (double)(now_ns - m->cpu_wall_ns);
        m->cpu = (double)(uint64_t)(m->cpu * 10) / 10;
        m->cpu_wall_ns = now_ns;
        m->cpu_used_ns = used;
    }
    return m->cpu;
}

int process_cores(void)
{
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}
