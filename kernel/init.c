// SPDX-License-Identifier: GPL-2.0-only
/*
 * The only program in the userland of the linux engine's kernel. As process 1
 * it mounts what a Linux system has, brings up the uplink that minod has made,
 * and starts a child that serves sessions. The values for the uplink come as
 * environment variables, from the kernel's command line. When this program
 * ends, the instance ends.
 *
 *   mino_address   0ad50002/30: IPv4, hexadecimal; mino_gateway likewise
 *   mino_address6  32 hexadecimal digits, /64; mino_gateway6 likewise
 *   mino_mtu       bytes
 *   mino_paths     directories of the device to show here, between colons
 *   mino_sysctls   NAME=VALUE, between semicolons
 *
 * It is built against tools/include/nolibc of the kernel tree, and must use no
 * other library.
 */
#define USRCALL_SERVE 0x7500 /* _IO('u', 0) */

#define SIOCADDRT 0x890b
#define SIOCGIFFLAGS 0x8913
#define SIOCSIFFLAGS 0x8914
#define SIOCSIFADDR 0x8916
#define SIOCSIFNETMASK 0x891c
#define SIOCSIFMTU 0x8922
#define SIOCSIFNAME 0x8923
#define SIOCGIFINDEX 0x8933

struct address {
	unsigned short family, port;
	unsigned char bytes[4];
	char zero[8];
};

struct request { /* struct ifreq */
	char name[16];
	union {
		struct address address;
		short flags;
		int number;
		char name[16];
		char size[24];
	} u;
};

struct route { /* struct rtentry */
	unsigned long pad1;
	struct address dst, gateway, mask;
	unsigned short flags;
	short pad2;
	unsigned long pad3;
	void *pad4;
	short metric;
	char *dev;
	unsigned long mtu, window;
	unsigned short irtt;
};

struct request6 { /* struct in6_ifreq */
	unsigned char address[16];
	unsigned int prefix;
	int index;
};

struct route6 { /* struct in6_rtmsg */
	unsigned char dst[16], src[16], gateway[16];
	unsigned int type;
	unsigned short dst_len, src_len;
	unsigned int metric;
	unsigned long info;
	unsigned int flags;
	int index;
};

static void complain(const char *what)
{
	printf("init: %s: error %d\n", what, errno);
}

static int mounted(const char *what, const char *where, const char *type,
		   const char *data)
{
	if (mount(what, where, type, 0, data) == 0)
		return 1;
	complain(where);
	return 0;
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		complain(path);
	if (fd >= 0)
		close(fd);
}

/* An interface name has at most 15 characters. */
static void copy_name(char *to, const char *name)
{
	int i;

	for (i = 0; i < 15 && name[i]; i++)
		to[i] = name[i];
	to[i] = 0;
}

static void read_hex(const char *text, unsigned char *to, int bytes)
{
	int i, digit;

	memset(to, 0, bytes);
	for (i = 0; i < 2 * bytes && text[i]; i++) {
		digit = text[i] <= '9' ? text[i] - '0' : (text[i] | 32) - 'a' + 10;
		to[i / 2] |= i % 2 ? digit : digit << 4;
	}
}

static void control(int socket, unsigned int what, void *request,
		    const char *name)
{
	if (my_syscall3(__NR_ioctl, socket, what, request) < 0)
		printf("init: %s: ioctl %x failed\n", name, what);
}

static void set_up(int socket, const char *name)
{
	struct request request = { 0 };

	copy_name(request.name, name);
	control(socket, SIOCGIFFLAGS, &request, name);
	request.u.flags |= 1; /* IFF_UP; MULTICAST stays */
	control(socket, SIOCSIFFLAGS, &request, name);
}

static void uplink4(int socket, const char *address, const char *gateway)
{
	const char *slash = strchr(address, '/');
	int prefix = slash ? atoi(slash + 1) : 32;
	unsigned int mask = prefix ? ~0u << (32 - prefix) : 0;
	struct request request = { "eth0" };
	struct route route = { 0 };
	int i;

	request.u.address.family = 2;
	read_hex(address, request.u.address.bytes, 4);
	control(socket, SIOCSIFADDR, &request, "address");
	for (i = 0; i < 4; i++)
		request.u.address.bytes[i] = mask >> (24 - 8 * i);
	control(socket, SIOCSIFNETMASK, &request, "netmask");
	set_up(socket, "eth0");
	if (!gateway)
		return;
	route.dst.family = route.gateway.family = route.mask.family = 2;
	read_hex(gateway, route.gateway.bytes, 4);
	route.flags = 3; /* RTF_UP | RTF_GATEWAY */
	control(socket, SIOCADDRT, &route, "default route");
}

static void uplink6(const char *address, const char *gateway)
{
	int socket = my_syscall3(__NR_socket, 10, 2, 0);
	struct request index = { "eth0" };
	struct request6 request = { .prefix = 64 };
	struct route6 route = { .metric = 1024, .flags = 3 };

	if (socket < 0)
		return;
	/* The link has two ends, so nobody else can have the address. */
	put("/proc/sys/net/ipv6/conf/eth0/accept_dad", "0");
	control(socket, SIOCGIFINDEX, &index, "eth0");
	read_hex(address, request.address, 16);
	request.index = route.index = index.u.number;
	control(socket, SIOCSIFADDR, &request, "IPv6 address");
	if (gateway) {
		read_hex(gateway, route.gateway, 16);
		control(socket, SIOCADDRT, &route, "IPv6 default route");
	}
	close(socket);
}

static void network(void)
{
	int socket = my_syscall3(__NR_socket, 2, 2, 0);
	struct request request = { "vec0" };
	const char *mtu = getenv("mino_mtu");

	set_up(socket, "lo");
	if (getenv("mino_address")) {
		copy_name(request.u.name, "eth0");
		control(socket, SIOCSIFNAME, &request, "vec0");
		if (mtu) {
			copy_name(request.name, "eth0");
			request.u.number = atoi(mtu);
			control(socket, SIOCSIFMTU, &request, "mtu");
		}
		uplink4(socket, getenv("mino_address"), getenv("mino_gateway"));
		if (getenv("mino_address6"))
			uplink6(getenv("mino_address6"), getenv("mino_gateway6"));
	}
	close(socket);
	if (getenv("mino_ports"))
		put("/proc/sys/net/ipv4/ip_unprivileged_port_start", getenv("mino_ports"));
	put("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
}

/* Shows one directory of the device, at the same path here. */
static void show(char *path)
{
	char *at;

	for (at = path + 1; *at; at++) {
		if (*at != '/')
			continue;
		*at = 0;
		mkdir(path, 0755);
		*at = '/';
	}
	mkdir(path, 0755);
	mounted("none", path, "hostfs", path);
}

static void show_paths(char *list)
{
	char *next;

	for (; list && *list; list = next) {
		next = strchr(list, ':');
		if (next)
			*next++ = 0;
		show(list);
	}
}

/* A dot in a name is a slash of the path; beside slashes it is itself. */
static void set_sysctl(const char *name, const char *value)
{
	char path[128] = "/proc/sys/";
	int dots = !strchr(name, '/'), i = strlen(path);

	for (; *name && i < (int)sizeof(path) - 1; name++)
		path[i++] = dots && *name == '.' ? '/' : *name;
	path[i] = 0;
	if (*name) {
		errno = ENAMETOOLONG;
		complain(path);
		return;
	}
	put(path, value);
}

static void set_sysctls(char *list)
{
	char *next, *value;

	for (; list && *list; list = next) {
		next = strchr(list, ';');
		if (next)
			*next++ = 0;
		else
			next = list + strlen(list);
		value = strchr(list, '=');
		if (!value)
			continue;
		*value++ = 0;
		set_sysctl(list, value);
	}
}

/*
 * Signals go to the client on its host. Here all are ignored; SIGKILL remains.
 */
static void ignore_signals(void)
{
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		unsigned long mask;
	} ignore = { (void *)1, 0, 0, 0 };
	unsigned long all = ~0ul;
	int i;

	for (i = 1; i <= 64; i++)
		my_syscall4(__NR_rt_sigaction, i, &ignore, 0, 8);
	my_syscall4(__NR_rt_sigprocmask, 0, &all, 0, 8);
}

static void raise_limits(void)
{
	struct {
		unsigned long current, most;
	} files = { 1 << 20, 1 << 20 }, none = { 0, 0 };

	my_syscall4(__NR_prlimit64, 0, 7 /* RLIMIT_NOFILE */, &files, 0);
	my_syscall4(__NR_prlimit64, 0, 4 /* RLIMIT_CORE */, &none, 0);
}

static void serve(void)
{
	int fd = open("/dev/usrcall", O_RDWR);

	if (fd < 0 || my_syscall3(__NR_ioctl, fd, USRCALL_SERVE, 0) < 0)
		complain("/dev/usrcall");
	exit(1);
}

int main(void)
{
	int status;

	mounted("devtmpfs", "/dev", "devtmpfs", 0);
	mounted("proc", "/proc", "proc", 0);
	mounted("sysfs", "/sys", "sysfs", 0);
	mounted("tmpfs", "/run", "tmpfs", "mode=755");
	mounted("tmpfs", "/tmp", "tmpfs", "mode=1777");
	mounted("cgroup2", "/sys/fs/cgroup", "cgroup2", 0);
	mkdir("/var", 0755);
	symlink("/run", "/var/run");
	put("/proc/sys/fs/protected_hardlinks", "1");
	put("/proc/sys/fs/protected_symlinks", "1");
	show_paths(getenv("mino_paths"));
	network();
	set_sysctls(getenv("mino_sysctls"));
	raise_limits();
	ignore_signals();
	if (fork() == 0)
		serve();
	/* Sessions need no wait: their parents ignore SIGCHLD. */
	while (waitpid(-1, &status, 0) > 0)
		;
	reboot(LINUX_REBOOT_CMD_POWER_OFF);
	return 1;
}
